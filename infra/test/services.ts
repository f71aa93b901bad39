/** A service as the tests need it, and what they read. */
import type { Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import type { Template } from 'aws-cdk-lib/assertions';
import { DependencyGroup } from 'constructs';
import type { DatabaseConnection } from '../lib/connections';
import { Service, type ServiceProps } from '../lib/service';
import { templateOf } from './stacks';

const ready = new DependencyGroup();

export const secret = (name: string) => `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-AbCdEf`;

/** To a database that is there already. */
export const connection: DatabaseConnection = {
  host: 'database.example.com',
  port: 5432,
  certificates: '-----BEGIN CERTIFICATE-----',
  database: 'realtime',
  role: 'realtime',
  passwordArn: secret('role'),
  owner: 'postgres',
  ownerPasswordArn: secret('owner'),
  ready,
};

/** A service in the stack, with resources of others beside it. */
export function serviceIn(stack: Stack, props: Partial<ServiceProps> = {}): Service {
  const vpc = ec2.Vpc.fromVpcAttributes(stack, 'Vpc', { vpcId: 'vpc-0123456789abcdef0', availabilityZones: ['eu-central-1a', 'eu-central-1b'] });
  const subnet = (id: string) => ec2.Subnet.fromSubnetAttributes(stack, id, { subnetId: `subnet-0123456789abcdef${id}`, routeTableId: 'rtb-1' });
  const securityGroup = ec2.SecurityGroup.fromSecurityGroupId(stack, 'LoadBalancer', 'sg-0123456789abcdef0');
  return new Service(stack, 'Service', {
    name: 'example',
    vpc,
    subnets: [subnet('1'), subnet('2')],
    image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0',
    config: '[limits]\n',
    publicUrl: 'wss://realtime.example.com',
    targetGroup: elb.NetworkTargetGroup.fromTargetGroupAttributes(stack, 'TargetGroup', {
      targetGroupArn: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/example/0123456789abcdef',
    }),
    loadBalancer: { securityGroup, cidrs: ['10.0.0.0/20', '10.0.16.0/20'] },
    redis: { host: 'redis.example.com', port: 6379, user: 'realtime', passwordArn: secret('redis'), ready },
    database: connection,
    ...props,
  });
}

export const service = (props: Partial<ServiceProps> = {}): Template => templateOf((stack) => serviceIn(stack, props));

/** A container of the task `example` (server, settings) or `example-migration` (role, migrate). */
export function container(template: Template, name: string): any {
  return Object.values(template.findResources('AWS::ECS::TaskDefinition'))
    .flatMap(({ Properties }) => Properties.ContainerDefinitions)
    .find((each) => each.Name === name);
}
