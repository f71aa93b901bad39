/** How an alarm is made of its conditions, whatever it is about. */
import { Tags } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

export interface Metric {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly statistic: string;
  readonly dimensions: Record<string, string>;
}

export interface Conditions {
  readonly severity: string;
  readonly description: string;
  /** Where it says what to do. */
  readonly runbook: string;
  readonly metrics: Metric[];
  /** Of the ids of the metrics. Without one the only metric is compared. */
  readonly expression?: string;
  readonly comparison: string;
  readonly threshold: number;
  /** Seconds of a period, how many are looked at, and how many of these have to be beyond the threshold. */
  readonly period: number;
  readonly periods: number;
  readonly datapoints: number;
  /** What a period without data means. */
  readonly missing: string;
}

/** An alarm with the prefix `name`, which notifies a topic, if there is one, of its beginning and its end. Returned is its name. */
export function addAlarm(scope: Construct, prefix: string, name: string, conditions: Conditions, topic?: sns.ITopic): string {
  const alarm = new cloudwatch.CfnAlarm(scope, name, {
    alarmName: `${prefix}-${name}`,
    alarmDescription: `${conditions.description}. ${conditions.runbook}`,
    comparisonOperator: conditions.comparison,
    threshold: conditions.threshold,
    evaluationPeriods: conditions.periods,
    datapointsToAlarm: conditions.datapoints,
    treatMissingData: conditions.missing,
    ...(topic && { alarmActions: [topic.topicArn], okActions: [topic.topicArn] }),
    metrics: [...conditions.metrics.map((metric) => query(metric, conditions)), ...expression(conditions)],
  });
  Tags.of(alarm).add('severity', conditions.severity);
  return alarm.ref;
}

function query(metric: Metric, conditions: Conditions): cloudwatch.CfnAlarm.MetricDataQueryProperty {
  return {
    id: metric.id,
    returnData: conditions.expression === undefined,
    metricStat: {
      metric: {
        namespace: metric.namespace,
        metricName: metric.name,
        dimensions: Object.entries(metric.dimensions).map(([name, value]) => ({ name, value })),
      },
      stat: metric.statistic,
      period: conditions.period,
    },
  };
}

function expression(conditions: Conditions): cloudwatch.CfnAlarm.MetricDataQueryProperty[] {
  return conditions.expression === undefined ? [] : [{ id: 'value', expression: conditions.expression, returnData: true }];
}
