/**
 * How many tasks there are: as many as the connections need, and as the CPU needs. There are fewer only if both allow it, and slowly,
 * because each task that goes disconnects its clients, who connect to another one.
 */
import { CfnScalableTarget, CfnScalingPolicy } from 'aws-cdk-lib/aws-applicationautoscaling';
import type { CfnService } from 'aws-cdk-lib/aws-ecs';
import type { Construct } from 'constructs';
import type { ServiceValues } from './inputs';

export function scale(scope: Construct, props: ServiceValues, cluster: string, service: CfnService): void {
  const target = new CfnScalableTarget(scope, 'Scaling', {
    serviceNamespace: 'ecs',
    scalableDimension: 'ecs:service:DesiredCount',
    resourceId: `service/${cluster}/${service.attrName}`,
    minCapacity: props.tasks.min,
    maxCapacity: props.tasks.max,
  });
  const tracking = (id: string, policyName: string, configuration: CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty) =>
    new CfnScalingPolicy(scope, id, {
      policyName,
      policyType: 'TargetTrackingScaling',
      scalingTargetId: target.ref,
      targetTrackingScalingPolicyConfiguration: { scaleOutCooldown: 60, scaleInCooldown: 900, ...configuration },
    });

  tracking('Connections', `${props.name}-connections`, {
    // What is left has room for the clients of a task that fails, and for those that come until there is another one.
    targetValue: Math.floor(props.maxConnections * 0.6),
    // Each task sends one value a minute, so the average is that of a task.
    customizedMetricSpecification: {
      namespace: props.namespace,
      metricName: 'phoenix_connections_active',
      statistic: 'Average',
      dimensions: [{ name: 'service', value: props.name }],
    },
  });
  tracking('Cpu', `${props.name}-cpu`, {
    targetValue: 60,
    predefinedMetricSpecification: { predefinedMetricType: 'ECSServiceAverageCPUUtilization' },
  });
}
