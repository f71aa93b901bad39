/**
 * A task: the server, and the container that keeps its settings and secrets current. The root of both cannot be written, and neither
 * has a capability.
 */
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { Stack, Tokenization } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { IRole } from 'aws-cdk-lib/aws-iam';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { DatabaseConnection } from '../connections';
import { suppress } from '../nag';
import type { ServiceValues } from './inputs';
import { settingFile, type Secrets } from './secrets';
import { KEY } from './settings';

export type Container = ecs.CfnTaskDefinition.ContainerDefinitionProperty;

export const PORT = 8080;
export const INTERNAL_PORT = 9090;
export const FOLDER = '/run/realtime';
export const USER = '10001:10001';
/** MiB of the container beside the server: the AWS CLI takes about 100. */
const SETTINGS_MEMORY = 256;

export const confined = {
  readonlyRootFilesystem: true,
  privileged: false,
  linuxParameters: { initProcessEnabled: false, capabilities: { drop: ['ALL'] } },
};

/** What both tasks have: an x86 of Fargate, and volumes that end with the task. */
export const fargate = {
  requiresCompatibilities: ['FARGATE'],
  networkMode: 'awsvpc',
  runtimePlatform: { operatingSystemFamily: 'LINUX', cpuArchitecture: 'X86_64' },
  volumes: [{ name: 'settings' }, { name: 'data' }],
};

export const mounted = {
  settings: (readOnly: boolean) => ({ sourceVolume: 'settings', containerPath: FOLDER, readOnly }),
  data: { sourceVolume: 'data', containerPath: '/var/lib/realtime', readOnly: false },
};

/** A file of the Terraform module, which both have: one program, one SQL. */
export function shared(name: string): string {
  return readFileSync(path.join(__dirname, '../../../terraform/modules/service', name), 'utf8');
}

export function pairs(values: Record<string, string>): ecs.CfnTaskDefinition.KeyValuePairProperty[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

/** The log of a container. The server does not wait for CloudWatch; lines beyond the buffer are dropped. */
export function logged(group: LogGroup, prefix: string): ecs.CfnTaskDefinition.LogConfigurationProperty {
  return {
    logDriver: 'awslogs',
    options: {
      'awslogs-group': group.logGroupName,
      'awslogs-region': Stack.of(group).region,
      'awslogs-stream-prefix': prefix,
      mode: 'non-blocking',
      'max-buffer-size': '8m',
    },
  };
}

/** How the server reaches its database, for a task of either kind. */
export function databaseEnvironment(database: DatabaseConnection): Record<string, string> {
  return {
    DB_HOST: database.host,
    DB_PORT: Tokenization.stringifyNumber(database.port),
    DB_NAME: database.database,
    DB_USER: database.role,
    DB_SSL_CA_CERT: `${FOLDER}/database-ca.pem`,
    REALTIME__STORE__TLS_MODE: 'verify',
  };
}

export interface TaskProps {
  readonly service: ServiceValues;
  readonly secrets: Secrets;
  readonly logGroup: LogGroup;
  /** The bucket of config.toml. */
  readonly bucket: string;
  readonly roles: { readonly task: IRole; readonly execution: IRole };
}

export function serverTask(scope: Construct, id: string, props: TaskProps): ecs.CfnTaskDefinition {
  const { name, cpu, memory } = props.service;
  const definition = new ecs.CfnTaskDefinition(scope, id, {
    ...fargate,
    family: name,
    cpu: String(cpu),
    memory: String(memory),
    executionRoleArn: props.roles.execution.roleArn,
    taskRoleArn: props.roles.task.roleArn,
    containerDefinitions: [server(scope, props), settings(props)],
  });
  suppress(definition, 'AwsSolutions-ECS2', 'They are addresses and numbers; secrets are files, because a variable cannot change while a task runs.');
  return definition;
}

function server(scope: Construct, { service, logGroup }: TaskProps): Container {
  const { drain } = service;
  return {
    ...confined,
    name: 'server',
    image: service.image,
    essential: true,
    // What server.memory_budget is half of.
    memory: service.memory - SETTINGS_MEMORY,
    user: USER,
    command: ['serve'],
    environment: pairs(serverEnvironment(service, Stack.of(scope).region)),
    portMappings: [PORT, INTERNAL_PORT].map((port) => ({ containerPort: port, hostPort: port, protocol: 'tcp' })),
    // As the Helm chart has it: ten seconds more than the drain, in which the server deregisters from the other nodes and sends its
    // last spans and log lines.
    stopTimeout: drain.delay + drain.timeout + drain.shutdown + 10,
    ulimits: [{ name: 'nofile', softLimit: 65535, hardLimit: 65535 }],
    logConfiguration: logged(logGroup, 'server'),
    // At the internal port, which needs no PROXY header. With the address it reads no settings, which could be refused.
    healthCheck: {
      command: ['CMD', 'realtime-server', 'health', '--url', `http://127.0.0.1:${INTERNAL_PORT}/health`],
      interval: 10,
      timeout: 5,
      retries: 3,
      startPeriod: 30,
    },
    dependsOn: [{ containerName: 'settings', condition: 'HEALTHY' }],
    mountPoints: [mounted.settings(true), mounted.data],
  };
}

/** What follows from the other resources. It precedes config.toml, where it could contradict them. */
function serverEnvironment(service: ServiceValues, region: string): Record<string, string> {
  const { drain } = service;
  return {
    ...databaseEnvironment(service.database),
    REALTIME_CONFIG: `${FOLDER}/${KEY}`,
    REALTIME__ADMIN__JWT_SECRETS_FILE: `${FOLDER}/operators`,
    REALTIME__AUTH__JWT_SECRETS_FILE: `${FOLDER}/jwt`,
    REDIS_URL_FILE: `${FOLDER}/redis-url`,
    DB_PASSWORD_FILE: `${FOLDER}/database-password`,
    DB_ENC_KEY_GCM_FILE: `${FOLDER}/encryption-key`,
    REALTIME__REGIONS__NAME: region,
    REALTIME__SERVER__DATA_DIR: '/var/lib/realtime',
    REALTIME__SERVER__DRAIN_DELAY: `${drain.delay}s`,
    REALTIME__SERVER__DRAIN_TIMEOUT: `${drain.timeout}s`,
    REALTIME__SERVER__SHUTDOWN_TIMEOUT: `${drain.shutdown}s`,
    REALTIME__SERVER__HOST: '0.0.0.0',
    REALTIME__SERVER__INTERNAL__EXCLUSIVE: 'true',
    REALTIME__SERVER__INTERNAL__PORT: String(INTERNAL_PORT),
    REALTIME__SERVER__MAX_CONNECTIONS: String(service.maxConnections),
    REALTIME__SERVER__PING_INTERVAL: `${service.pingInterval}s`,
    REALTIME__SERVER__PORT: String(PORT),
    REALTIME__SERVER__PROXY_PROTOCOL_FROM: service.loadBalancer.cidrs.join(','),
    REALTIME__SERVER__PUBLIC_URL: service.publicUrl,
    REALTIME__STORE__MIGRATE: 'never',
    REALTIME__TELEMETRY__CLOUDWATCH__DIMENSIONS: JSON.stringify({ service: service.name }),
    REALTIME__TELEMETRY__CLOUDWATCH__ENABLED: 'true',
    REALTIME__TELEMETRY__CLOUDWATCH__NAMESPACE: service.namespace,
    REALTIME__TELEMETRY__CLOUDWATCH__REGION: region,
    REALTIME__TELEMETRY__LOG_FORMAT: 'json',
    REALTIME__TELEMETRY__LOG_HEALTH_CHECKS: 'false',
    ...(service.clientsAreHidden && { REALTIME__SERVER__UNLIMITED_ADDRESSES: '0.0.0.0/0' }),
    ...Object.fromEntries(Object.keys(service.settingSecrets).map((variable) => [`${variable}_FILE`, `${FOLDER}/${settingFile(variable)}`])),
    ...(service.previousEncryptionKeyArn && { REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY_FILE: `${FOLDER}/previous-encryption-key` }),
  };
}

function settings({ service, secrets, logGroup, bucket }: TaskProps): Container {
  return {
    ...confined,
    name: 'settings',
    image: service.settingsImage,
    // When it ends after a minute or more, it is started again, and the server goes on with the settings that it has. A minute is the
    // least that ECS accepts. By default it is five, within which a container that ends is not started again while the task runs.
    essential: false,
    restartPolicy: { enabled: true, restartAttemptPeriod: 60 },
    memory: SETTINGS_MEMORY,
    // The folder belongs to root. Without capabilities that is no other right here.
    user: '0:0',
    entryPoint: ['/bin/sh', '-c'],
    command: [shared('settings.sh')],
    environment: pairs({
      BUCKET: bucket,
      KEY,
      FOLDER,
      INTERVAL: String(service.settingsInterval),
      SECRETS: secrets.files.map(({ name, arn, around = [] }) => [name, arn, ...around].join(' ')).join('\n'),
      CERTIFICATES: service.database.certificates,
    }),
    stopTimeout: 5,
    logConfiguration: logged(logGroup, 'settings'),
    healthCheck: { command: ['CMD-SHELL', `test -e ${FOLDER}/complete`], interval: 5, timeout: 2, retries: 3, startPeriod: 60 },
    mountPoints: [mounted.settings(false)],
  };
}
