/**
 * The app with the two sizes that are not the usual one: with one of them a secret of clients' tokens that is given, with the other
 * `Accelerator`, which the app does not make, as in accelerator.tf.
 */
import { App, Stack, Tags } from 'aws-cdk-lib';
import { Accelerator } from '../lib/accelerator';
import { realtime } from '../lib/app';

const arn = (region: string) => `arn:aws:elasticloadbalancing:${region}:123456789012:loadbalancer/net/realtime/0123456789abcdef`;

const inputs = { medium: { jwtSecretArn: process.env.GIVEN }, large: {} };

for (const [size, given] of Object.entries(inputs)) {
  const app = new App({ outdir: `${process.env.SIZES}/${size}`, postCliContext: { size, ...given } });
  realtime(app);
  if (size === 'large') {
    const stack = new Stack(app, 'accelerator', { analyticsReporting: false });
    new Accelerator(stack, 'Accelerator', {
      name: 'realtime',
      domain: { name: 'realtime.example.com', zoneId: 'Z0123456789' },
      regions: {
        'eu-central-1': { loadBalancerArn: arn('eu-central-1'), clientsAreHidden: true },
        'us-east-1': { loadBalancerArn: arn('us-east-1'), clientsAreHidden: true, trafficPercent: 0 },
      },
    });
    Tags.of(stack).add('application', 'realtime');
  }
  app.synth();
}
