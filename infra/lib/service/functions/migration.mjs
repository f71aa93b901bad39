/**
 * A run of the migration task: started, and waited for. It fails unless all of its containers have succeeded, so that no server of the
 * new version starts then.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { CloudFormation } from '@aws-sdk/client-cloudformation';
import { ECS } from '@aws-sdk/client-ecs';
import { customResource } from './respond.mjs';

/** Milliseconds between two requests for the state of the task. */
const INTERVAL = 5_000;
/** Milliseconds that are kept for ending the task, and for the answer. */
const RESERVE = 60_000;

/**
 * @typedef {Pick<ECS, 'runTask' | 'describeTasks' | 'stopTask'>} Tasks
 * @typedef {Pick<CloudFormation, 'describeStacks'>} Stacks
 */

/**
 * @param {Tasks} ecs
 * @param {Stacks} cloudFormation
 * @param {(milliseconds: number) => Promise<unknown>} wait
 */
export const migration = (ecs, cloudFormation, wait) =>
  customResource(
    () => 'migration',
    async (event, context) => {
      if (event.RequestType === 'Delete') return;
      // The task before has run already, and an older server works with the tables of a newer version.
      if (event.RequestType === 'Update' && (await rollsBack(cloudFormation, event.StackId))) {
        console.log('The stack rolls back: nothing is migrated.');
        return;
      }
      const { Cluster, LogGroup } = event.ResourceProperties;
      const task = await start(ecs, event);
      console.log(`Migrating: ${task}`);
      while (context.getRemainingTimeInMillis() > RESERVE) {
        const found = await state(ecs, Cluster, task);
        if (found?.lastStatus === 'STOPPED') return judge(found, LogGroup);
        await wait(INTERVAL);
      }
      // Also when its state is unknown: the next deployment would run another one beside it.
      await ecs.stopTask({ cluster: Cluster, task, reason: 'The migration has not ended in the time that a deployment has for it.' });
      throw new Error(`The migration has not ended in the time that it has, and was stopped. Its log is in the log group ${LogGroup}.`);
    },
  );

/**
 * @param {Stacks} cloudFormation
 * @param {string} stack
 */
async function rollsBack(cloudFormation, stack) {
  const { Stacks: [found] = [] } = await cloudFormation.describeStacks({ StackName: stack });
  return found?.StackStatus?.includes('ROLLBACK') ?? false;
}

/**
 * @param {Tasks} ecs
 * @param {import('./respond.mjs').Event} event
 * @returns {Promise<string>} The task.
 */
async function start(ecs, { RequestId, ResourceProperties: { Cluster, TaskDefinition, Subnets, SecurityGroup } }) {
  const { tasks: [task] = [], failures: [failure] = [] } = await ecs.runTask({
    cluster: Cluster,
    taskDefinition: TaskDefinition,
    launchType: 'FARGATE',
    networkConfiguration: { awsvpcConfiguration: { subnets: Subnets, securityGroups: [SecurityGroup], assignPublicIp: 'DISABLED' } },
    // A request that is sent to the function again is the same run.
    clientToken: RequestId,
  });
  if (!task?.taskArn) throw new Error(`ECS has not started the migration: ${failure?.reason ?? 'without a reason'}.`);
  return task.taskArn;
}

/**
 * The task, unless ECS does not know it yet, or does not answer: the next request may have its state, and the task goes on meanwhile.
 *
 * @param {Tasks} ecs
 * @param {string} cluster
 * @param {string} task
 */
async function state(ecs, cluster, task) {
  try {
    const { tasks: [found] = [] } = await ecs.describeTasks({ cluster, tasks: [task] });
    return found;
  } catch (error) {
    console.error('The state of the migration is asked for again:', error);
    return undefined;
  }
}

/**
 * @param {import('@aws-sdk/client-ecs').Task} task
 * @param {string} logGroup
 */
function judge({ containers = [], stoppedReason }, logGroup) {
  if (containers.length > 0 && containers.every(({ exitCode }) => exitCode === 0)) return;
  // A container that was never started has no exit code.
  const codes = containers.map(({ name, exitCode, reason }) => `${name}: ${exitCode ?? reason ?? 'not started'}`).join(', ');
  throw new Error(`The migration has failed (${codes}; ${stoppedReason}). Its log is in the log group ${logGroup}.`);
}

const options = { requestHandler: { connectionTimeout: 5_000, requestTimeout: 10_000 } };
export const handler = migration(new ECS(options), new CloudFormation(options), pause);
