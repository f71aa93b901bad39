/** What the service accepts, and its defaults: those of terraform/modules/service/variables*.tf, with the same reasons. */
import { Token } from 'aws-cdk-lib';
import { refuseUnless, validClientCidr, validName, validRetention } from '../valid';
import { checkConfig } from './config';
import type { ServiceProps } from './index';

type Optional = 'jwtSecretArn' | 'previousEncryptionKeyArn' | 'sharedSecrets' | 'kmsKey';

/** Every value of a service: what is given, and the defaults of the rest. */
export type ServiceValues = Required<Omit<ServiceProps, Optional>> & Pick<ServiceProps, Optional>;

/** Memory in MiB that Fargate has for each CPU of a task. */
const MEMORY: Record<number, number[]> = {
  512: steps(1, 4),
  1024: steps(2, 8),
  2048: steps(4, 16),
  4096: steps(8, 30),
  8192: steps(16, 60, 4),
};

/** Adds the defaults, and refuses what cannot be used. */
export function resolve(given: ServiceProps, region: string): ServiceValues {
  const props: ServiceValues = {
    clientsAreHidden: false,
    operators: {},
    settingSecrets: {},
    cpu: 1024,
    memory: 4096,
    tasks: { min: 2, max: 8 },
    maxConnections: 16384,
    drain: { delay: 20, timeout: 60, shutdown: 5 },
    pingInterval: 30,
    namespace: 'Realtime',
    settingsInterval: 30,
    settingsImage: 'public.ecr.aws/aws-cli/aws-cli:2.31.29',
    psqlImage: 'public.ecr.aws/docker/library/postgres:17.6-alpine3.22',
    secretKmsKeys: [],
    logRetentionDays: 30,
    ...given,
  };
  validName(props.name);
  validRetention(props.logRetentionDays);
  checkVersions(props);
  checkJwtSecret(props, region);
  // Secrets that are shared are in the region of the other service.
  if (!props.sharedSecrets) {
    checkSecret('previousEncryptionKeyArn', props.previousEncryptionKeyArn, region);
    checkSettingSecrets(props, region);
  }
  checkConfig(props);
  checkNetwork(props);
  checkOperators(props);
  checkSize(props);
  checkTimes(props);
  return props;
}

function checkVersions({ image, settingsImage, psqlImage }: ServiceValues): void {
  for (const [name, value] of Object.entries({ image, settingsImage, psqlImage })) {
    refuseUnless(
      /^[^:@ ]+(:[0-9]+\/[^:@ ]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$/.test(value) && !value.endsWith(':latest'),
      `${name} ends with a version or a digest, such as :0.1.0, and not with :latest, which is another image tomorrow: it is ${value}.`,
    );
  }
}

function checkJwtSecret({ jwtSecretArn, sharedSecrets }: ServiceValues, region: string): void {
  if (jwtSecretArn === undefined) return;
  refuseUnless(!sharedSecrets, 'jwtSecretArn belongs to the service of the other region: they are in sharedSecrets.');
  checkSecret('jwtSecretArn', jwtSecretArn, region);
}

/** Whether this is the ARN of a secret that tasks can fetch. */
function checkSecret(name: string, arn: string | undefined, region: string): void {
  if (arn === undefined || Token.isUnresolved(arn)) return;
  const found = /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$/.exec(arn);
  refuseUnless(
    found !== null,
    `${name} is the whole ARN of a secret in Secrets Manager, with the hyphen and the six characters at its end: IAM allows no other. The secret itself does not belong here.`,
  );
  // Tasks fetch all secrets with one request, which one region answers.
  refuseUnless(
    Token.isUnresolved(region) || found[1] === region,
    `${name} is of the region of the service, ${region}: a secret of another one is replicated to it, and its replica has an ARN there.`,
  );
}

function checkSettingSecrets({ settingSecrets }: ServiceValues, region: string): void {
  const entries = Object.entries(settingSecrets);
  refuseUnless(entries.length <= 14, 'settingSecrets are at most 14: with those of the construct a request has 20.');
  for (const [name, arn] of entries) {
    refuseUnless(
      /^[A-Z][A-Z0-9_]*$/.test(name) && !name.endsWith('_FILE'),
      `settingSecrets has variables of settings, such as REALTIME__TELEMETRY__PUSH__AUTH, without _FILE at their end: one is ${name}.`,
    );
    checkSecret(`settingSecrets.${name}`, arn, region);
  }
}

function checkNetwork({ subnets, publicUrl, loadBalancer }: ServiceValues): void {
  refuseUnless(subnets.length >= 2, 'subnets are of at least two zones, so that the tasks of one remain when the other fails.');
  refuseUnless(/^wss:\/\/[^/]+/.test(publicUrl), `publicUrl begins with wss://, because the load balancer terminates TLS: it is ${publicUrl}.`);
  refuseUnless(
    loadBalancer.cidrs.length > 0 && loadBalancer.cidrs.every((cidr) => Token.isUnresolved(cidr) || /^[0-9a-f.:]+\/[0-9]+$/.test(cidr)),
    'loadBalancer.cidrs are networks, such as 10.0.0.0/20: without one every PROXY header is refused, and with it every client.',
  );
}

function checkOperators({ operators }: ServiceValues): void {
  for (const [name, source] of Object.entries(operators)) {
    if (source.includes('/')) validClientCidr(source);
    else
      refuseUnless(
        Token.isUnresolved(source) || source.startsWith('sg-'),
        `operators are security groups such as sg-0123456789abcdef0, and networks such as 10.1.64.0/20: ${name} is ${source}.`,
      );
  }
}

function checkSize({ cpu, memory, tasks, maxConnections }: ServiceValues): void {
  refuseUnless(
    MEMORY[cpu]?.includes(memory) ?? false,
    `cpu and memory are a pair that Fargate has: 512 with 1024 to 4096, 1024 with 2048 to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720, 8192 with 16384 to 61440 in steps of 4096. They are ${cpu} and ${memory}.`,
  );
  refuseUnless(
    tasks.min >= 2 && tasks.max >= tasks.min,
    'tasks.min is at least 2, so that clients have another task when one fails, and tasks.max is not below it.',
  );
  refuseUnless(
    maxConnections >= 100 && maxConnections <= 50000,
    'maxConnections is from 100 to 50000: a Network Load Balancer has ports for about 55,000 connections to a task, because it connects from addresses of its own.',
  );
}

function checkTimes({ drain, pingInterval, namespace, settingsInterval }: ServiceValues): void {
  refuseUnless(
    drain.delay + drain.timeout + drain.shutdown + 10 < 120,
    'drain is less than 110 seconds in all: Fargate ends a task 120 seconds after SIGTERM, and the server needs 10 after the drain.',
  );
  refuseUnless(
    drain.delay >= 5 && drain.timeout >= 1 && drain.shutdown >= 1,
    'drain.delay is at least 5 seconds, drain.timeout and drain.shutdown at least 1.',
  );
  refuseUnless(
    pingInterval >= 1 && pingInterval < 120,
    'pingInterval is below 120 seconds (server.idle_timeout), and so below the 350 after which a TLS listener of a Network Load Balancer drops an idle connection.',
  );
  refuseUnless(!namespace.startsWith('AWS/'), 'namespace does not begin with AWS/, where only AWS sends metrics.');
  refuseUnless(settingsInterval >= 5 && settingsInterval <= 600, 'settingsInterval is from 5 to 600 seconds.');
}

/** MiB from one number of GiB to another. */
function steps(from: number, to: number, by = 1): number[] {
  return Array.from({ length: (to - from) / by + 1 }, (_, index) => (from + index * by) * 1024);
}
