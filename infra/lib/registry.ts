/** The repository of the image. A tag is written once, so that a version means the same for every task. */
import { CfnOutput, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import { Construct } from 'constructs';
import { refuseUnless } from './valid';

export interface RegistryProps {
  /** Name of the repository. */
  readonly name: string;
}

export class Registry extends Construct {
  readonly repository: ecr.Repository;

  constructor(scope: Construct, id: string, props: RegistryProps) {
    super(scope, id);
    refuseUnless(
      /^[a-z][a-z0-9]*([._/-][a-z0-9]+)*$/.test(props.name),
      `name has small letters and digits, with single dots, hyphens, underscores or slashes between them: it is ${props.name}.`,
    );
    this.repository = new ecr.Repository(this, 'Repository', {
      repositoryName: props.name,
      imageTagMutability: ecr.TagMutability.IMMUTABLE,
      imageScanOnPush: true,
      encryption: ecr.RepositoryEncryption.KMS,
      // One that has images is not deleted all the same: its stack says so.
      removalPolicy: RemovalPolicy.DESTROY,
      lifecycleRules: [
        {
          // Layers without a tag are what a push that failed has left. Tagged images stay: one of them may be rolled back to.
          description: 'Images without a tag, after a day',
          rulePriority: 1,
          tagStatus: ecr.TagStatus.UNTAGGED,
          maxImageAge: Duration.days(1),
        },
      ],
    });
  }

  /** What is needed next: where the image is pushed to, and the commands, with the tag of the image that tasks run. */
  output(image: string): void {
    const stack = Stack.of(this);
    const registry = `${stack.account}.dkr.ecr.${stack.region}.${stack.urlSuffix}`;
    const tag = /^[^@]+:([\w.-]+)$/.exec(image)?.[1] ?? 'VERSION';
    const address = `${registry}/${this.repository.repositoryName}`;
    new CfnOutput(this, 'Address', { value: address, description: 'The repository of the image.' }).overrideLogicalId('Repository');
    new CfnOutput(this, 'Push', {
      value: [
        `aws ecr get-login-password --region ${stack.region} | docker login --username AWS --password-stdin ${registry}`,
        `docker buildx build --platform linux/amd64 --tag ${address}:${tag} --push "$(git rev-parse --show-toplevel)"`,
      ].join('\n'),
      description: 'The commands that build the image and push it, anywhere in a clone of this project.',
    }).overrideLogicalId('Push');
  }
}
