import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migration } from '../lib/service/functions/migration.mjs';
import { answered, client } from './functions';

const ResourceProperties = {
  Cluster: 'realtime',
  TaskDefinition: 'realtime-migration:7',
  Subnets: ['subnet-1', 'subnet-2'],
  SecurityGroup: 'sg-1',
  LogGroup: '/realtime/realtime',
};
const created = { RequestType: 'Create', ResourceProperties };
const updated = { RequestType: 'Update', PhysicalResourceId: 'migration', ResourceProperties };

const started = { tasks: [{ taskArn: 'task-1' }] };
const ended = (...codes: (number | undefined)[]) => ({
  tasks: [
    {
      lastStatus: 'STOPPED',
      stoppedReason: 'Essential container in task exited',
      containers: codes.map((exitCode, index) => ({ name: `c${index}`, exitCode })),
    },
  ],
});
const running = { tasks: [{ lastStatus: 'RUNNING', containers: [] }] };

function made(outcomes: { runTask?: unknown[]; describeTasks?: unknown[]; describeStacks?: unknown[] }) {
  const ecs = client({ runTask: [started], describeTasks: [ended(0, 0)], stopTask: [{}], ...outcomes });
  const cloudFormation = client({ describeStacks: [{ Stacks: [{ StackStatus: 'UPDATE_IN_PROGRESS' }] }], ...outcomes });
  const pauses: number[] = [];
  const handler = migration(ecs as any, cloudFormation as any, async (milliseconds) => pauses.push(milliseconds));
  return { handler, ecs, cloudFormation, pauses };
}

test('the task is run in the network of the service, and waited for', async () => {
  const { handler, ecs, pauses } = made({ describeTasks: [{ tasks: [] }, running, ended(0, 0)] });
  assert.deepEqual(await answered(handler, created), { Status: 'SUCCESS', PhysicalResourceId: 'migration', Reason: '' });
  assert.deepEqual(ecs.calls[0], [
    'runTask',
    {
      cluster: 'realtime',
      taskDefinition: 'realtime-migration:7',
      launchType: 'FARGATE',
      networkConfiguration: { awsvpcConfiguration: { subnets: ['subnet-1', 'subnet-2'], securityGroups: ['sg-1'], assignPublicIp: 'DISABLED' } },
      clientToken: 'request',
    },
  ]);
  assert.equal(pauses.length, 2);
});

test('another task definition runs it again', async () => {
  const { handler, ecs } = made({});
  assert.equal((await answered(handler, updated)).Status, 'SUCCESS');
  assert.equal(ecs.calls[0]?.[0], 'runTask');
});

test('a container that fails is a failure, with the place of its log', async () => {
  const { Status, Reason } = await answered(made({ describeTasks: [ended(0, 1)] }).handler, created);
  assert.equal(Status, 'FAILED');
  assert.match(Reason, /c1: 1; Essential container in task exited.*log group \/realtime\/realtime/);
});

test('a container that was never started is a failure', async () => {
  const { Status, Reason } = await answered(made({ describeTasks: [ended(1, undefined)] }).handler, created);
  assert.equal(Status, 'FAILED');
  assert.match(Reason, /c1: not started/);
});

test('a task that ended before it had containers is a failure', async () => {
  const { Status } = await answered(made({ describeTasks: [ended()] }).handler, created);
  assert.equal(Status, 'FAILED');
});

test('a task that ECS does not start is a failure, with the reason', async () => {
  const { Status, Reason } = await answered(made({ runTask: [{ tasks: [], failures: [{ reason: 'Capacity is unavailable' }] }] }).handler, created);
  assert.equal(Status, 'FAILED');
  assert.match(Reason, /Capacity is unavailable/);
});

test('a request that AWS refuses is a failure, and its text can be shown by CloudFormation', async () => {
  const { Status, Reason } = await answered(made({ runTask: [new Error(`\x1b[31mno «right»\n${'x'.repeat(5000)}`)] }).handler, created);
  assert.equal(Status, 'FAILED');
  assert.match(Reason, /^ \[31mno {2}right x+$/);
  assert.equal(Reason.length, 1000);
});

test('a task that does not end in time is stopped, and a failure', async () => {
  const { handler, ecs } = made({ describeTasks: [running] });
  const { Status, Reason } = await answered(handler, created, { remaining: [30_000] });
  assert.equal(Status, 'FAILED');
  assert.match(Reason, /has not ended/);
  assert.deepEqual(
    ecs.calls.map(([operation]) => operation),
    ['runTask', 'stopTask'],
  );
});

test('a request for the state that fails is sent again', async () => {
  const { handler, ecs, pauses } = made({ describeTasks: [running, new Error('Rate exceeded'), ended(0, 0)] });
  assert.equal((await answered(handler, created)).Status, 'SUCCESS');
  assert.equal(pauses.length, 2);
  assert.ok(ecs.calls.every(([operation]) => operation !== 'stopTask'));
});

test('a task whose state stays unknown is stopped, and a failure', async () => {
  const { handler, ecs } = made({ describeTasks: [running, new Error('Rate exceeded')] });
  const { Status, Reason } = await answered(handler, created, { remaining: [900_000, 800_000, 30_000] });
  assert.equal(Status, 'FAILED');
  assert.match(Reason, /was stopped/);
  assert.deepEqual(
    ecs.calls.map(([operation]) => operation),
    ['runTask', 'describeTasks', 'describeTasks', 'stopTask'],
  );
});

test('nothing is run while the stack rolls back', async () => {
  const { handler, ecs } = made({ describeStacks: [{ Stacks: [{ StackStatus: 'UPDATE_ROLLBACK_IN_PROGRESS' }] }] });
  assert.equal((await answered(handler, updated)).Status, 'SUCCESS');
  assert.deepEqual(ecs.calls, []);
});

test('nothing is run when the stack is deleted', async () => {
  const { handler, ecs, cloudFormation } = made({});
  const answer = await answered(handler, { ...updated, RequestType: 'Delete' });
  assert.deepEqual(answer, { Status: 'SUCCESS', PhysicalResourceId: 'migration', Reason: '' });
  assert.deepEqual([...ecs.calls, ...cloudFormation.calls], []);
});

test('an answer that is not taken is given again', async () => {
  assert.equal((await answered(made({}).handler, created, { refusals: 2 })).Status, 'SUCCESS');
});

test('an answer that is never taken is an error, after which the request comes again', async () => {
  await assert.rejects(answered(made({}).handler, created, { refusals: 3 }), /has not taken the answer: 503/);
});
