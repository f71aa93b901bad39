/** A function of functions/ that CloudFormation calls for a custom resource, with no more rights than it needs. */
import * as path from 'node:path';
import type { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { suppress } from '../nag';

export interface HandlerProps {
  readonly description: string;
  /** File and export, such as `settings.handler`. */
  readonly handler: string;
  readonly timeout: Duration;
  /** The log of the tasks, so that what happened to a deployment is in one place. */
  readonly logGroup: LogGroup;
  readonly statements: iam.PolicyStatement[];
  /** Why some of them are for more than one resource. */
  readonly wildcards?: string;
}

export class Handler extends Construct {
  /** What a custom resource names as its provider. */
  readonly token: string;

  constructor(scope: Construct, id: string, props: HandlerProps) {
    super(scope, id);
    const log = new iam.PolicyStatement({
      sid: 'Logs',
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [props.logGroup.logGroupArn],
    });
    const role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      inlinePolicies: { handler: new iam.PolicyDocument({ statements: [log, ...props.statements], minimize: false }) },
    });
    if (props.wildcards) suppress(role, 'AwsSolutions-IAM5', props.wildcards);
    this.token = new lambda.Function(this, 'Function', {
      description: props.description,
      // The AWS SDK is a part of it.
      runtime: lambda.Runtime.NODEJS_24_X,
      code: lambda.Code.fromAsset(path.join(__dirname, 'functions')),
      handler: props.handler,
      timeout: props.timeout,
      memorySize: 256,
      role: role.withoutPolicyUpdates(),
      logGroup: props.logGroup,
    }).functionArn;
  }
}
