/** What a task may do. The execution role is used by ECS to start containers, the task role by what runs in them. */
import { Aws } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { suppress } from '../nag';
import type { ServiceValues } from './inputs';
import type { Secrets } from './secrets';

/** A role of a task. Its policy is a part of it, so it is there before a task is. */
export function taskRole(scope: Construct, id: string, policy: string, statements: iam.PolicyStatement[]): iam.Role {
  const role = new iam.Role(scope, id, {
    assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com', { conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } } }),
    inlinePolicies: { [policy]: new iam.PolicyDocument({ statements, minimize: false }) },
  });
  if (statements.some(({ resources }) => resources.includes('*'))) suppress(role, 'AwsSolutions-IAM5', 'Some actions have no resources.');
  return role;
}

export function taskStatements({ namespace }: ServiceValues, bucket: Bucket, secrets: Secrets): iam.PolicyStatement[] {
  return [
    new iam.PolicyStatement({ sid: 'Settings', actions: ['s3:GetObject'], resources: [bucket.arnForObjects('config.toml')] }),
    new iam.PolicyStatement({
      sid: 'Secrets',
      actions: ['secretsmanager:GetSecretValue'],
      resources: secrets.files.map((file) => file.arn),
    }),
    // It has no resources, and returns the secrets above alone.
    new iam.PolicyStatement({ sid: 'SecretsAtOnce', actions: ['secretsmanager:BatchGetSecretValue'], resources: ['*'] }),
    // It has no resources; the namespace is what can be restricted.
    new iam.PolicyStatement({
      sid: 'Metrics',
      actions: ['cloudwatch:PutMetricData'],
      resources: ['*'],
      conditions: { StringEquals: { 'cloudwatch:namespace': namespace } },
    }),
  ];
}

/** The keys of secrets, if they have keys of their own. */
export function keyStatements({ kmsKey, secretKmsKeys }: ServiceValues): iam.PolicyStatement[] {
  const keys = [...(kmsKey ? [kmsKey] : []), ...secretKmsKeys];
  if (keys.length === 0) return [];
  return [new iam.PolicyStatement({ sid: 'Keys', actions: ['kms:Decrypt'], resources: keys.map((key) => key.keyArn) })];
}

/** What starts containers: their log, and the image if it is in a repository of ECR. */
export function executionStatements(image: string, logGroup: ILogGroup): iam.PolicyStatement[] {
  const log = new iam.PolicyStatement({
    sid: 'Logs',
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    resources: [logGroup.logGroupArn],
  });
  const repository = /^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com\/([^:@]+)/.exec(image);
  if (!repository) return [log];
  const [, account, region, name] = repository;
  return [
    log,
    new iam.PolicyStatement({
      sid: 'Image',
      actions: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      resources: [`arn:${Aws.PARTITION}:ecr:${region}:${account}:repository/${name}`],
    }),
    // It has no resources.
    new iam.PolicyStatement({ sid: 'Registry', actions: ['ecr:GetAuthorizationToken'], resources: ['*'] }),
  ];
}
