/**
 * config.toml as an object in S3. A container beside each server (settings.sh) copies it into the folder that the server watches, so a
 * change is applied by running tasks; why S3, and not EFS or AppConfig, is in docs/aws.md.
 *
 * CloudFormation has no resource for an object, so a function puts it there (functions/settings.mjs).
 */
import { createHash } from 'node:crypto';
import { CustomResource, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { suppress } from '../nag';
import { Handler } from './handler';

export const KEY = 'config.toml';

export interface SettingsProps {
  /** The text of config.toml. */
  readonly config: string;
  readonly logGroup: LogGroup;
}

export class Settings extends Construct {
  readonly bucket: s3.Bucket;
  readonly object: CustomResource;

  constructor(scope: Construct, id: string, { config, logGroup }: SettingsProps) {
    super(scope, id);
    this.bucket = new s3.Bucket(this, 'Bucket', {
      // What was there before a change that turns out wrong.
      versioned: true,
      lifecycleRules: [{ id: 'expire', noncurrentVersionExpiration: Duration.days(90), abortIncompleteMultipartUploadAfter: Duration.days(1) }],
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      // With the keys of S3: there are no secrets in it.
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    suppress(
      this.bucket,
      'AwsSolutions-S1',
      'Tasks read one object every 30 seconds; who changes it, CloudTrail and the repository of its operator say.',
    );

    const handler = new Handler(this, 'Handler', {
      description: 'Puts config.toml into the bucket of the settings',
      handler: 'settings.handler',
      timeout: Duration.minutes(1),
      logGroup,
      statements: [
        new PolicyStatement({ sid: 'Object', actions: ['s3:DeleteObjectVersion', 's3:PutObject'], resources: [this.bucket.arnForObjects(KEY)] }),
        // When the stack is deleted: a bucket that is not empty cannot be.
        new PolicyStatement({ sid: 'Versions', actions: ['s3:ListBucketVersions'], resources: [this.bucket.bucketArn] }),
      ],
    });
    this.object = new CustomResource(this, 'Object', {
      resourceType: 'Custom::Settings',
      serviceToken: handler.token,
      serviceTimeout: Duration.minutes(3),
      properties: { Bucket: this.bucket.bucketName, Key: KEY, Content: config, Sha256: createHash('sha256').update(config).digest('hex') },
    });
  }
}
