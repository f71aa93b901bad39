/**
 * What a version needs in the database, done by a task of its own before any server of the version starts: the role of the server
 * (role.sh, as the owner), and then the tables (realtime-server migrate, as the role). The service of another region (`sharedSecrets`) has done
 * it, where there is one.
 *
 * CloudFormation has no resource for a task that ends, so a function runs it (functions/migration.mjs), and the deployment fails when
 * it fails. Another image, and a change of anything else that the task consists of, runs it again.
 */
import { Aws, CustomResource, Duration, Stack, Tokenization } from 'aws-cdk-lib';
import type { ISecurityGroup } from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { PolicyStatement, type IRole } from 'aws-cdk-lib/aws-iam';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { suppress } from '../nag';
import { Handler } from './handler';
import { executionStatements, keyStatements, taskRole } from './iam';
import type { ServiceValues } from './inputs';
import type { Secrets } from './secrets';
import { confined, databaseEnvironment, fargate, FOLDER, logged, mounted, pairs, shared, USER, type Container } from './task';

export interface MigrationProps {
  readonly service: ServiceValues;
  readonly secrets: Secrets;
  readonly logGroup: LogGroup;
  readonly cluster: ecs.Cluster;
  readonly securityGroup: ISecurityGroup;
}

export class Migration extends Construct {
  /** The run of the task. */
  readonly run: CustomResource;

  constructor(scope: Construct, id: string, props: MigrationProps) {
    super(scope, id);
    const { service, secrets, logGroup, cluster, securityGroup } = props;
    // The migration task alone can read the password of the owner of the database. What it needs is injected, because it ends at once.
    const role = taskRole(this, 'Role', 'migration', [
      ...executionStatements(service.image, logGroup),
      new PolicyStatement({
        sid: 'Secrets',
        actions: ['secretsmanager:GetSecretValue'],
        resources: [service.database.ownerPasswordArn, service.database.passwordArn, secrets.arns.encryptionKeyArn, ...previousKey(service)],
      }),
      ...keyStatements(service),
    ]);
    const definition = new ecs.CfnTaskDefinition(this, 'Task', {
      ...fargate,
      family: `${service.name}-migration`,
      cpu: '256',
      memory: '512',
      executionRoleArn: role.roleArn,
      containerDefinitions: [databaseRole(props), tables(props)],
    });
    suppress(definition, 'AwsSolutions-ECS2', 'They are addresses and names; the secrets of this task are injected from Secrets Manager.');
    const handler = new Handler(this, 'Handler', {
      description: 'Runs the migration, and waits until it has ended',
      handler: 'migration.handler',
      // As long as a function can run.
      timeout: Duration.minutes(15),
      logGroup,
      wildcards: 'Revisions of one task definition, and tasks of one cluster, whose names are not known before they are there.',
      statements: handlerStatements(this, definition, role, cluster),
    });
    this.run = new CustomResource(this, 'Run', {
      resourceType: 'Custom::Migration',
      serviceToken: handler.token,
      serviceTimeout: Duration.minutes(16),
      properties: {
        Cluster: cluster.clusterName,
        TaskDefinition: definition.ref,
        Subnets: service.subnets.map((subnet) => subnet.subnetId),
        SecurityGroup: securityGroup.securityGroupId,
        LogGroup: logGroup.logGroupName,
      },
    });
  }
}

/** What the function may do: run this task in this cluster, read its state, end it, and read whether the stack rolls back. */
function handlerStatements(scope: Construct, definition: ecs.CfnTaskDefinition, role: IRole, cluster: ecs.Cluster): PolicyStatement[] {
  const stack = Stack.of(scope);
  const inCluster = { ArnEquals: { 'ecs:cluster': cluster.clusterArn } };
  return [
    new PolicyStatement({
      sid: 'Run',
      actions: ['ecs:RunTask'],
      // Every revision, because a right that changes together with the task would come into force after it was run.
      resources: [stack.formatArn({ service: 'ecs', resource: 'task-definition', resourceName: `${definition.family}:*` })],
      conditions: inCluster,
    }),
    new PolicyStatement({
      sid: 'Watch',
      actions: ['ecs:DescribeTasks', 'ecs:StopTask'],
      resources: [stack.formatArn({ service: 'ecs', resource: 'task', resourceName: `${cluster.clusterName}/*` })],
      conditions: inCluster,
    }),
    new PolicyStatement({
      sid: 'Role',
      actions: ['iam:PassRole'],
      resources: [role.roleArn],
      conditions: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
    }),
    new PolicyStatement({ sid: 'Rollback', actions: ['cloudformation:DescribeStacks'], resources: [Aws.STACK_ID] }),
  ];
}

function databaseRole({ service, logGroup }: MigrationProps): Container {
  const { database } = service;
  return {
    ...confined,
    name: 'role',
    image: service.psqlImage,
    essential: false,
    user: '0:0',
    entryPoint: ['/bin/sh', '-c'],
    command: [shared('role.sh')],
    environment: pairs({
      CERTIFICATES: database.certificates,
      FOLDER,
      PGDATABASE: database.database,
      PGHOST: database.host,
      PGPORT: Tokenization.stringifyNumber(database.port),
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: `${FOLDER}/database-ca.pem`,
      PGUSER: database.owner,
      ROLE: database.role,
      ROLE_SQL: shared('role.sql'),
    }),
    secrets: [
      // RDS keeps it as JSON.
      { name: 'PGPASSWORD', valueFrom: `${database.ownerPasswordArn}:password::` },
      { name: 'ROLE_PASSWORD', valueFrom: database.passwordArn },
    ],
    logConfiguration: logged(logGroup, 'role'),
    mountPoints: [mounted.settings(false)],
  };
}

/** While the key is rotated, the one before, which `store rekey` reads with. */
function previousKey({ previousEncryptionKeyArn }: ServiceValues): string[] {
  return previousEncryptionKeyArn ? [previousEncryptionKeyArn] : [];
}

function tables({ service, secrets, logGroup }: MigrationProps): Container {
  return {
    ...confined,
    name: 'migrate',
    image: service.image,
    essential: true,
    user: USER,
    command: ['migrate'],
    environment: pairs(databaseEnvironment(service.database)),
    secrets: [
      { name: 'DB_PASSWORD', valueFrom: service.database.passwordArn },
      { name: 'DB_ENC_KEY_GCM', valueFrom: secrets.arns.encryptionKeyArn },
      ...previousKey(service).map((valueFrom) => ({ name: 'REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY', valueFrom })),
    ],
    dependsOn: [{ containerName: 'role', condition: 'SUCCESS' }],
    logConfiguration: logged(logGroup, 'migrate'),
    mountPoints: [mounted.settings(true), mounted.data],
  };
}
