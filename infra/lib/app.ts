/** The stacks: the repository of the image, which is there before the image is, and everything else. */
import { Aspects, Stack, Tags, type App } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { inputs } from './inputs';
import { Registry } from './registry';
import { RealtimeStack } from './stack';

const name = 'realtime';

export function realtime(app: App): void {
  const given = inputs(app.node);
  const common = { env: { region: given.region }, analyticsReporting: false };

  const registry = new Stack(app, `${name}-registry`, { ...common, description: 'The repository of the image of Realtime Server' });
  new Registry(registry, 'Registry', { name: `${name}-server` }).output(given.image);

  // Deletion protection of single resources would stop a deletion half way.
  new RealtimeStack(app, name, given, { ...common, description: 'Realtime Server on ECS Fargate', terminationProtection: true });

  Tags.of(app).add('application', name);
  Aspects.of(app).add(new AwsSolutionsChecks({ verbose: true }));
}
