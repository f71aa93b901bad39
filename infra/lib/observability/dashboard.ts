/** The dashboard: the graphs of monitoring/cloudwatch-dashboard.json, and one for each alarm of a resource, side by side. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Conditions, Metric } from './alarms';

type Line = Omit<Metric, 'id'>;

export interface Graph {
  readonly title: string;
  readonly lines: Line[];
}

const FILE = join(__dirname, '../../monitoring/cloudwatch-dashboard.json');

/** The graphs of the file, whose lines are metrics of the server. */
export function serverGraphs(namespace: string, dimensions: Record<string, string>): Graph[] {
  const { graphs } = JSON.parse(readFileSync(FILE, 'utf8')) as { graphs: { title: string; lines: [string, string][] }[] };
  return graphs.map(({ title, lines }) => ({ title, lines: lines.map(([name, statistic]) => ({ namespace, name, statistic, dimensions })) }));
}

/** What the alarms are about, in the order of their names. */
export function alarmGraphs(alarms: Record<string, Conditions>): Graph[] {
  const sorted = Object.entries(alarms).sort(([one], [other]) => (one < other ? -1 : 1));
  return sorted.map(([, { description, metrics }]) => ({ title: description, lines: metrics }));
}

export function dashboardBody(scope: Construct, graphs: Graph[]): string {
  const stack = Stack.of(scope);
  const widgets = graphs.map((graph, index) => ({
    type: 'metric',
    x: 12 * (index % 2),
    y: 6 * Math.floor(index / 2),
    width: 12,
    height: 6,
    properties: {
      title: graph.title,
      region: stack.region,
      view: 'timeSeries',
      period: 60,
      metrics: graph.lines.map(({ namespace, name, statistic, dimensions }) => [
        namespace,
        name,
        ...Object.entries(dimensions).flat(),
        { stat: statistic, label: `${name} ${statistic}` },
      ]),
    },
  }));
  return stack.toJsonString({ widgets });
}
