/** The bucket of the access logs: one line for each TLS connection, with its address, its version of TLS and its length. */
import { Duration, Stack } from 'aws-cdk-lib';
import type * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as s3 from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { suppress } from '../nag';

/** Has the load balancer write them. The bucket stays when the stack is deleted, because it is not empty then. */
export function accessLogs(scope: Construct, loadBalancer: elb.NetworkLoadBalancer, days: number): void {
  const bucket = new s3.Bucket(scope, 'AccessLogs', {
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    enforceSSL: true,
    // The load balancer can write with the keys of S3, and not with the AWS managed key.
    encryption: s3.BucketEncryption.S3_MANAGED,
    lifecycleRules: [{ id: 'expire', expiration: Duration.days(days), abortIncompleteMultipartUploadAfter: Duration.days(1) }],
  });
  suppress(bucket, 'AwsSolutions-S1', 'It is a bucket of access logs; the load balancer alone writes to it.');

  const { account } = Stack.of(scope);
  const delivery = new iam.ServicePrincipal('delivery.logs.amazonaws.com');
  bucket.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'Write',
      principals: [delivery],
      actions: ['s3:PutObject'],
      resources: [bucket.arnForObjects(`AWSLogs/${account}/*`)],
      conditions: { StringEquals: { 's3:x-amz-acl': 'bucket-owner-full-control', 'aws:SourceAccount': account } },
    }),
  );
  bucket.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'Check',
      principals: [delivery],
      actions: ['s3:GetBucketAcl'],
      resources: [bucket.bucketArn],
      conditions: { StringEquals: { 'aws:SourceAccount': account } },
    }),
  );
  loadBalancer.setAttribute('access_logs.s3.enabled', 'true');
  loadBalancer.setAttribute('access_logs.s3.bucket', bucket.bucketName);
  // As soon as the attributes are set, AWS tries whether the load balancer can write to the bucket.
  if (bucket.policy) loadBalancer.node.addDependency(bucket.policy);
}
