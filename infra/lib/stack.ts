/** All of it: five inputs, and the constructs that make of them a server. Each is what the module of the same name is in terraform/. */
import { Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Cache } from './cache';
import { Database } from './database';
import { Edge } from './edge';
import type { Inputs } from './inputs';
import { Network } from './network';
import { Observability } from './observability';
import { SIZES } from './sizes';

/** The load balancer waits longer than the server drains, and both have to mean the same drain. */
const drain = { delay: 20, timeout: 60, shutdown: 5 };

export class RealtimeStack extends Stack {
  constructor(scope: Construct, name: string, inputs: Inputs, props: StackProps) {
    super(scope, name, props);
    const size = SIZES[inputs.size];
    const network = new Network(this, 'Network', { name });
    const inner = { name, vpc: network.vpc, subnets: network.isolatedSubnets };
    new Database(this, 'Database', { ...inner, capacity: size.database });
    new Cache(this, 'Cache', { ...inner, nodeType: size.nodeType });
    new Edge(this, 'Edge', {
      name,
      vpc: network.vpc,
      subnets: network.publicSubnets,
      targetCidrs: network.privateCidrs,
      domain: inputs.domain,
      drain,
    });
    new Observability(this, 'Observability', { name, dimensions: { service: name } });
  }
}
