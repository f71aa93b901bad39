/** How tasks are registered and checked, and what a task that stops keeps: its clients, until it has disconnected them itself. */
import { Duration } from 'aws-cdk-lib';
import type * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import type { Construct } from 'constructs';
import { DRAIN, HEALTH_CHECK } from './check';
import type { EdgeProps } from './index';

export function targetGroup(scope: Construct, props: EdgeProps & { readonly port: number; readonly vpc: ec2.IVpc }): elb.NetworkTargetGroup {
  const drain = props.drain ?? DRAIN;
  const healthCheck = props.healthCheck ?? HEALTH_CHECK;
  const group = new elb.NetworkTargetGroup(scope, 'TargetGroup', {
    targetGroupName: props.name,
    vpc: props.vpc,
    targetType: elb.TargetType.IP,
    protocol: elb.Protocol.TCP,
    port: props.port,
    proxyProtocolV2: true,
    // The header has the address; with the address of the client as the source as well, two connections of a client through two
    // zones could have the same four numbers.
    preserveClientIp: false,
    // ECS deregisters a task first, waits as long as this, and sends SIGTERM then. So it is the time for the load balancer to stop
    // sending new clients, and not the time of the drain, which begins only after it.
    deregistrationDelay: Duration.seconds(props.deregistrationDelay ?? 30),
    connectionTermination: false,
    // On the port of the clients, because the checks begin with a PROXY header as well, which the internal port does not accept.
    healthCheck: {
      protocol: elb.Protocol.HTTP,
      path: '/readyz',
      port: 'traffic-port',
      healthyHttpCodes: '200',
      interval: Duration.seconds(healthCheck.interval),
      timeout: Duration.seconds(4),
      healthyThresholdCount: 2,
      unhealthyThresholdCount: healthCheck.unhealthyThreshold,
    },
  });
  group.setAttribute('target_health_state.unhealthy.connection_termination.enabled', 'false');
  // A minute more than from SIGTERM until a task has ended.
  const seconds = drain.delay + drain.timeout + drain.shutdown + 60;
  group.setAttribute('target_health_state.unhealthy.draining_interval_seconds', String(seconds));
  return group;
}
