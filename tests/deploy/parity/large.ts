/**
 * The app with another size and another image than the usual ones, with a secret of clients' tokens that is given, with operators, and with
 * `Accelerator`, which the app does not make, as in accelerator.tf.
 */
import { App, Stack, Tags } from 'aws-cdk-lib';
import { Accelerator } from '../lib/accelerator';
import { realtime } from '../lib/app';

const arn = (region: string) => `arn:aws:elasticloadbalancing:${region}:123456789012:loadbalancer/net/realtime/0123456789abcdef`;

const { GIVEN: jwtSecretArn, OPERATORS: operators, IMAGE: image } = process.env;
const context = { size: 'large', jwtSecretArn, operators, image };
const app = new App({ outdir: process.env.OUT, postCliContext: context });
realtime(app);
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
app.synth();
