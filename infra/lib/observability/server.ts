/** The alarms of the server, from the file that lists their conditions. What its keys mean is in the file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { refuseUnless } from '../valid';
import type { Conditions, Metric } from './alarms';

interface Listed extends Omit<Conditions, 'metrics'> {
  readonly alert: string;
  /** What must be there, or the alarm would only ever be without data. */
  readonly requires?: string;
  readonly metrics: { readonly id: string; readonly name: string; readonly statistic: string; readonly labels?: Record<string, string> }[];
}

export interface Server {
  readonly namespace: string;
  readonly dimensions: Record<string, string>;
  /** What there is of what alarms require. */
  readonly present: string[];
  readonly runbookUrl: string;
}

/** The alarms in the file, by their names; without a file, those of this repository. */
export function serverAlarms(server: Server, file?: string): Record<string, Conditions> {
  const present = read(file).filter((alarm) => alarm.requires === undefined || server.present.includes(alarm.requires));
  return Object.fromEntries(
    present.map((alarm) => [
      alarm.alert,
      {
        ...alarm,
        runbook: server.runbookUrl + alarm.runbook.replace(/^docs\/runbook\.md/, ''),
        metrics: alarm.metrics.map(({ id, name, statistic, labels }): Metric => ({
          id,
          namespace: server.namespace,
          name,
          statistic,
          dimensions: { ...server.dimensions, ...labels },
        })),
      },
    ]),
  );
}

function read(file = join(__dirname, '../../monitoring/cloudwatch-alarms.json')): Listed[] {
  let alarms: unknown;
  try {
    ({ alarms } = JSON.parse(readFileSync(file, 'utf8')) as { alarms?: unknown });
  } catch {
    alarms = undefined;
  }
  refuseUnless(Array.isArray(alarms), `alarmsFile is the path of a file like infra/monitoring/cloudwatch-alarms.json: it is ${file}.`);
  return alarms as Listed[];
}
