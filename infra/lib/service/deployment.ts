/** When a deployment has failed, although its tasks are ready. */
import type { Construct } from 'constructs';
import { addAlarm, type Conditions, type Metric } from '../observability/alarms';
import type { ServiceValues } from './inputs';

/**
 * A task that reaches neither its store nor Redis is ready all the same, because one that ran before goes on without them. This alarm is
 * how a deployment of such tasks fails. It is of this construct, because the service has to have it from the first deployment on; those
 * of Observability notify.
 */
export function addDeploymentAlarm(scope: Construct, { name, namespace }: ServiceValues): string {
  const metric = (id: string, metricName: string): Metric => ({
    id,
    namespace,
    name: metricName,
    statistic: 'Minimum',
    dimensions: { service: name },
  });
  const conditions: Conditions = {
    severity: 'critical',
    description: 'A task does not reach its store or Redis: a deployment is rolled back',
    runbook: 'docs/aws.md#step-by-step',
    metrics: [metric('store', 'realtime_store_connected'), metric('bus', 'realtime_bus_connected')],
    expression: 'MIN([FILL(store, 1), FILL(bus, 1)])',
    comparison: 'LessThanThreshold',
    threshold: 1,
    period: 60,
    periods: 2,
    datapoints: 2,
    missing: 'notBreaching',
  };
  return addAlarm(scope, name, 'deployment', conditions);
}
