/** Which properties of a load balancer are refused. */
import { Token } from 'aws-cdk-lib';
import type { Drain } from '../connections';
import { refuseUnless, validDomain, validName } from '../valid';
import type { EdgeProps, HealthCheck } from './index';

export const DRAIN: Drain = { delay: 20, timeout: 60, shutdown: 5 };
export const HEALTH_CHECK: HealthCheck = { interval: 5, unhealthyThreshold: 2 };

export function check(props: EdgeProps): void {
  validName(props.name);
  refuseUnless(!props.name.startsWith('internal-'), 'name does not begin with internal-, which AWS keeps for itself.');
  validDomain(props.domain);
  refuseUnless(props.subnets.length >= 2, 'subnets are of at least two zones, so that clients find the load balancer without one of them.');
  refuseUnless(
    props.targetCidrs.every((cidr) => Token.isUnresolved(cidr) || /^(\d{1,3}\.){3}\d{1,3}\/\d{1,2}$/.test(cidr)),
    'targetCidrs are networks, such as 10.0.64.0/20.',
  );
  const { interval, unhealthyThreshold } = props.healthCheck ?? HEALTH_CHECK;
  refuseUnless(interval >= 5 && interval <= 300, 'healthCheck.interval is from 5 to 300 seconds.');
  refuseUnless(unhealthyThreshold >= 2 && unhealthyThreshold <= 10, 'healthCheck.unhealthyThreshold is from 2 to 10.');
  refuseUnless(
    (props.drain ?? DRAIN).delay >= interval * unhealthyThreshold + 5,
    'drain.delay is at least all checks that must fail and 5 seconds more: until then the load balancer sends new clients to a task that stops.',
  );
  const deregistration = props.deregistrationDelay ?? 30;
  refuseUnless(
    deregistration >= 15 && deregistration <= 120,
    'deregistrationDelay is from 15 to 120 seconds: shorter, new clients still come when the drain begins; longer, it only delays each deployment.',
  );
  refuseUnless((props.logRetentionDays ?? 30) >= 1, 'logRetentionDays is at least 1.');
}
