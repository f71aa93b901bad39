/**
 * A network of its own for the server: in each zone a public subnet (load balancer, NAT), a private one (tasks, which reach the
 * internet through the NAT) and an isolated one (database and cache, which reach nothing).
 */
import { Fn, Tags } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import { suppress } from './nag';
import { refuseUnless, validName } from './valid';

export interface NetworkProps {
  /** Name of everything that is made, such as `realtime`. */
  readonly name: string;
  /** Addresses of the network. A /16 leaves 4,096 for each subnet. */
  readonly cidr?: string;
  /** Availability zones that are used. */
  readonly zones?: number;
  /** NAT gateways: one in each zone, or 1 for all, which costs less, and without whose zone tasks reach nothing outside. */
  readonly natGateways?: number;
}

/** Zones that addresses are set aside for. */
const ZONES_MAX = 4;

export class Network extends Construct {
  readonly vpc: ec2.Vpc;
  /** Subnets of the load balancer. */
  readonly publicSubnets: ec2.ISubnet[];
  /** Subnets of the tasks. */
  readonly privateSubnets: ec2.ISubnet[];
  /** Subnets of database and cache. */
  readonly isolatedSubnets: ec2.ISubnet[];

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    const { cidr = '10.0.0.0/16', zones = 2, natGateways = zones } = props;
    const name = validName(props.name);
    const prefix = Number(/^(?:\d{1,3}\.){3}\d{1,3}\/(\d+)$/.exec(cidr)?.[1]);
    refuseUnless(
      prefix >= 16 && prefix <= 22,
      `cidr is a network of IPv4 from /16 to /22, such as 10.0.0.0/16: AWS has no larger one, and a smaller one has no place for the subnets. It is ${cidr}.`,
    );
    refuseUnless(
      [2, 3, 4].includes(zones),
      `zones is 2, 3 or 4: database, cache and server each need a second zone to fail over to. It is ${zones}.`,
    );
    refuseUnless(natGateways === 1 || natGateways === zones, `natGateways is 1, or as many as zones: it is ${natGateways}.`);

    // Sixteen equal parts of the network: four for each kind of subnet, the last four are free.
    const cidrMask = prefix + 4;
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      vpcName: name,
      ipAddresses: ec2.IpAddresses.cidr(cidr),
      // Functions of CloudFormation, so that zones are not read from an account. Only zones are among them, and no Local Zones.
      availabilityZones: Array.from({ length: zones }, (_, index) => Fn.select(index, Fn.getAzs())),
      reservedAzs: ZONES_MAX - zones,
      // A NAT in each zone, so that the tasks of a zone do not depend on another one, unless one alone is asked for.
      natGateways,
      subnetConfiguration: [
        { name: 'Public', subnetType: ec2.SubnetType.PUBLIC, cidrMask, mapPublicIpOnLaunch: false },
        { name: 'Private', subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS, cidrMask },
        // Without a route: what is in these subnets can be reached from the network, and reaches nothing outside.
        { name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask },
      ],
      // The group that AWS makes with a network lets all its members reach each other. Nothing here uses it. CloudFormation has no
      // resource for it, so a function of the CDK removes its rules.
      restrictDefaultSecurityGroup: true,
    });
    suppress(this.vpc, 'AwsSolutions-VPC7', 'Every connection passes the load balancer, which logs it, or is to a named service.');
    this.publicSubnets = this.vpc.publicSubnets;
    this.privateSubnets = this.vpc.privateSubnets;
    this.isolatedSubnets = this.vpc.isolatedSubnets;
    this.nameSubnets(name);

    // Each task requests its settings from S3 every 30 seconds; through this they cost no traffic of the NAT.
    const s3 = this.vpc.addGatewayEndpoint('S3', { service: ec2.GatewayVpcEndpointAwsService.S3, subnets: [{ subnets: this.privateSubnets }] });
    Tags.of(s3).add('Name', `${name}-s3`);
  }

  /** Names with the zone at their end, and those of NAT and its address without the kind of their subnet. */
  private nameSubnets(name: string): void {
    for (const [kind, subnets] of Object.entries({ public: this.publicSubnets, private: this.privateSubnets, isolated: this.isolatedSubnets })) {
      for (const subnet of subnets) {
        Tags.of(subnet).add('Name', Fn.join('-', [name, kind, subnet.availabilityZone]));
        const [gateway, address] = ['NATGateway', 'EIP'].map((id) => subnet.node.tryFindChild(id));
        if (gateway) Tags.of(gateway).add('Name', Fn.join('-', [name, subnet.availabilityZone]));
        if (address) Tags.of(address).add('Name', Fn.join('-', [name, 'nat', subnet.availabilityZone]));
      }
    }
  }

  /** Addresses of the load balancer, from which it connects to the tasks. */
  get publicCidrs(): string[] {
    return this.publicSubnets.map((subnet) => subnet.ipv4CidrBlock);
  }

  /** Addresses that the tasks may have. */
  get privateCidrs(): string[] {
    return this.privateSubnets.map((subnet) => subnet.ipv4CidrBlock);
  }
}
