/** All of it: the inputs, and the constructs that make of them a server. Each is what the module of the same name is in terraform/. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Cache } from './cache';
import { Database } from './database';
import { Edge } from './edge';
import type { Inputs } from './inputs';
import { Network } from './network';
import { Observability } from './observability';
import { Service } from './service';

/** The load balancer waits longer than the server drains, and both have to mean the same drain. */
const drain = { delay: 20, timeout: 60, shutdown: 5 };

/** The same file that `terraform apply` uses. */
const CONFIG = join(__dirname, '../../terraform/config.toml');

export class RealtimeStack extends Stack {
  constructor(scope: Construct, name: string, inputs: Inputs, props: StackProps) {
    super(scope, name, props);
    const { size } = inputs;
    const network = new Network(this, 'Network', { name });
    const { vpc } = network;
    const database = new Database(this, 'Database', { name, vpc, subnets: network.isolatedSubnets, capacity: size.database });
    const cache = new Cache(this, 'Cache', { name, vpc, subnets: network.isolatedSubnets, ...size.cache });
    const edge = new Edge(this, 'Edge', {
      name,
      vpc,
      subnets: network.publicSubnets,
      targetCidrs: network.privateCidrs,
      domain: inputs.domain,
      drain,
    });
    const service = new Service(this, 'Service', {
      name,
      vpc,
      subnets: network.privateSubnets,
      image: inputs.image,
      config: readFileSync(CONFIG, 'utf8'),
      publicUrl: `wss://${inputs.domain.name}`,
      targetGroup: edge.targetGroup,
      loadBalancer: { securityGroup: edge.securityGroup, cidrs: network.publicCidrs },
      database: database.connection,
      redis: cache.connection,
      operators: inputs.operators,
      jwtSecretArn: inputs.jwtSecretArn,
      ...size.task,
      drain,
    });
    database.allowFrom('server', service.securityGroup);
    cache.allowFrom('server', service.securityGroup);
    const observability = new Observability(this, 'Observability', {
      name,
      dimensions: service.dimensions,
      resources: {
        database: database.monitored,
        cache: cache.monitored,
        loadBalancer: { ...edge.monitored, targetsMin: size.task.tasks.min },
        service: service.monitored,
      },
    });
    this.output(inputs.image, { edge, service, observability });
  }

  /** What is needed next: the outputs of terraform/outputs.tf. */
  private output(image: string, { edge, service, observability }: { edge: Edge; service: Service; observability: Observability }): void {
    const secretOf = (arn: string) =>
      `aws secretsmanager get-secret-value --region ${this.region} --secret-id ${arn} --query SecretString --output text | grep . | tail -n 1`;
    const outputs = {
      Endpoint: ['The address of clients.', edge.endpoint],
      Token: [
        'The command that makes a token for a client.',
        `JWT_SECRET=$(${secretOf(service.jwtSecretArn)}) docker run --rm --env JWT_SECRET ${image} token --sub ann`,
      ],
      OperatorToken: [
        'The command that makes a token for an operator, for `/status` and administration at the internal port, which `operators` opens.',
        `API_JWT_SECRET=$(${secretOf(service.operatorsSecretArn)}) docker run --rm --env API_JWT_SECRET ${image} token --operator --sub $USER`,
      ],
      Alarms: [
        'The topic of the alarms. They are sent to no address until there is a subscription: aws sns subscribe --protocol email.',
        observability.topic.topicArn,
      ],
      Dashboard: ['Address of the dashboard.', observability.dashboard],
      LogGroup: ['The log of all tasks: aws logs tail.', service.logGroup.logGroupName],
    };
    for (const [name, [description, value]] of Object.entries(outputs)) new CfnOutput(this, name, { description, value: value as string });
  }
}
