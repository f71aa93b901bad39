/** What the tests of the functions need: a CloudFormation that is asked for nothing and is answered, and clients of AWS that record. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Answer {
  readonly Status: 'SUCCESS' | 'FAILED';
  readonly PhysicalResourceId: string;
  readonly Reason: string;
}

type LambdaHandler = (event: any, context: { getRemainingTimeInMillis: () => number }) => Promise<void>;

/**
 * What CloudFormation is answered to the request. It takes the answer after it has refused it as often as said. Each
 * question for the time that remains has the next of these, the last of them again and again.
 */
export async function answered(handler: LambdaHandler, event: object, { remaining = [900_000], refusals = 0 } = {}): Promise<Answer> {
  const bodies: string[] = [];
  let refused = 0;
  const times = [...remaining];
  const cloudFormation = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (refused < refusals) {
      refused += 1;
      response.writeHead(503).end();
    } else {
      bodies.push(Buffer.concat(chunks).toString());
      response.end();
    }
  }).listen(0, '127.0.0.1');
  await once(cloudFormation, 'listening');
  const { port } = cloudFormation.address() as AddressInfo;
  const common = { StackId: 'stack', RequestId: 'request', LogicalResourceId: 'Resource', ResponseURL: `http://127.0.0.1:${port}/` };
  try {
    await quietly(() => handler({ ...common, ...event }, { getRemainingTimeInMillis: () => (times.length > 1 ? times.shift() : times[0]) ?? 0 }));
  } finally {
    cloudFormation.close();
    cloudFormation.closeAllConnections();
  }
  if (bodies.length !== 1) throw new Error(`${bodies.length} answers, expected 1`);
  const { StackId, RequestId, LogicalResourceId, ...answer } = JSON.parse(bodies[0] ?? '');
  if (StackId !== 'stack' || RequestId !== 'request' || LogicalResourceId !== 'Resource') throw new Error('The answer is one to another request.');
  return answer;
}

/** Lines of a log that are expected would only hide those that are not. */
async function quietly(work: () => Promise<void>): Promise<void> {
  const { log, error } = console;
  Object.assign(console, { log: () => {}, error: () => {} });
  try {
    await work();
  } finally {
    Object.assign(console, { log, error });
  }
}

/** A client whose operations have these outcomes, the last of them again and again; an error is thrown. */
export function client(outcomes: Record<string, unknown[]>): { calls: [operation: string, input: any][] } & Record<string, any> {
  const calls: [string, any][] = [];
  const operations = Object.entries(outcomes).map(([operation, list]) => {
    let next = 0;
    return [
      operation,
      async (input: unknown) => {
        calls.push([operation, input]);
        const outcome = list[Math.min(next++, list.length - 1)];
        if (outcome instanceof Error) throw outcome;
        return outcome;
      },
    ];
  });
  return { calls, ...Object.fromEntries(operations) };
}
