/** All of it: five inputs, and the constructs that make of them a server. Each is what the module of the same name is in terraform/. */
import { Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Inputs } from './inputs';
import { Network } from './network';

export class RealtimeStack extends Stack {
  constructor(scope: Construct, name: string, inputs: Inputs, props: StackProps) {
    super(scope, name, props);
    new Network(this, 'Network', { name });
    void inputs;
  }
}
