/**
 * Global Accelerator: two addresses that are the same everywhere, and lead clients into the network of AWS near them, to the nearest
 * region that is healthy.
 *
 * Load balancers that terminate TLS see its addresses in the place of clients'. So the servers behind it have no limits per address
 * (`clientsAreHidden` of `Service`, without which a region is refused), and the name of the clients leads here (`hasRecord: false` of `Edge`).
 */
import * as globalaccelerator from 'aws-cdk-lib/aws-globalaccelerator';
import * as route53 from 'aws-cdk-lib/aws-route53';
import { Construct } from 'constructs';
import type { Domain } from './inputs';
import { refuseUnless, validDomain, validName } from './valid';

export interface AcceleratorProps {
  /** Name of the accelerator. */
  readonly name: string;
  /** The name of the server, for which each load balancer has a certificate, and the id of its zone in Route 53. */
  readonly domain: Domain;
  /** What each region has, by its name. */
  readonly regions: Record<string, AcceleratedRegion>;
}

export interface AcceleratedRegion {
  readonly loadBalancerArn: string;
  /** Whether the service of the region has no limits per address: `clientsAreHidden` of `Service`. */
  readonly clientsAreHidden: boolean;
  /** The percentage of its clients that the region receives; 0 empties it. */
  readonly trafficPercent?: number;
}

/** The zone in which every accelerator has its name. */
const ACCELERATOR_ZONE = 'Z2BJ6XQ5FK7U4H';

export class Accelerator extends Construct {
  /** The two addresses, for firewalls that allow single addresses. */
  readonly addresses: string[];
  /** The address of clients. */
  readonly endpoint: string;

  constructor(scope: Construct, id: string, props: AcceleratorProps) {
    super(scope, id);
    check(props);
    this.endpoint = `wss://${props.domain.name}/realtime/v1`;
    const accelerator = new globalaccelerator.CfnAccelerator(this, 'Accelerator', { name: props.name, ipAddressType: 'IPV4', enabled: true });
    this.addresses = accelerator.attrIpv4Addresses;
    const listener = new globalaccelerator.CfnListener(this, 'Tls', {
      acceleratorArn: accelerator.attrAcceleratorArn,
      protocol: 'TCP',
      // A client that connects again may be led to another server, which is what a drain is for.
      clientAffinity: 'NONE',
      portRanges: [{ fromPort: 443, toPort: 443 }],
    });
    for (const [region, { loadBalancerArn, trafficPercent }] of Object.entries(props.regions)) {
      new globalaccelerator.CfnEndpointGroup(this, region, {
        listenerArn: listener.attrListenerArn,
        endpointGroupRegion: region,
        trafficDialPercentage: trafficPercent ?? 100,
        // A region is healthy when its load balancer is, by the checks of its tasks.
        endpointConfigurations: [{ endpointId: loadBalancerArn, weight: 128, clientIpPreservationEnabled: false }],
      });
    }
    new route53.CfnRecordSet(this, 'Record', {
      hostedZoneId: props.domain.zoneId,
      name: props.domain.name,
      type: 'A',
      aliasTarget: { dnsName: accelerator.attrDnsName, hostedZoneId: ACCELERATOR_ZONE, evaluateTargetHealth: false },
    });
  }
}

function check(props: AcceleratorProps): void {
  validName(props.name);
  validDomain(props.domain);
  const names = Object.keys(props.regions);
  refuseUnless(
    names.length > 0 && names.every((region) => /^[a-z]{2}(-[a-z]+)+-[0-9]$/.test(region)),
    'regions has at least one region, by its name, such as eu-central-1.',
  );
  refuseUnless(
    Object.values(props.regions).every((region) => region.clientsAreHidden),
    'clientsAreHidden is true for the service of each region: behind an accelerator all clients have the addresses of the accelerator, and a limit per address would refuse most of them.',
  );
  const percents = Object.values(props.regions).map((region) => region.trafficPercent ?? 100);
  refuseUnless(
    percents.every((percent) => percent >= 0 && percent <= 100),
    'trafficPercent is from 0 to 100.',
  );
  refuseUnless(
    percents.some((percent) => percent > 0),
    'trafficPercent of one region is above 0, so that clients reach something.',
  );
}
