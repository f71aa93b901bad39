/**
 * The inputs of the app, from the context of the CDK: `context` in `cdk.json`, or `-c` of each command. They are those of
 * terraform/variables.tf. `cdk.context.json` is not for them: it has what the CDK looks up, and `cdk context --clear` empties it.
 */
import type { Node } from 'constructs';
import { SIZES, type Size } from './sizes';
import { refuseUnless } from './valid';

/** The name of the server, and the hosted zone in Route 53 that it belongs to. */
export interface Domain {
  readonly name: string;
  readonly zoneId: string;
}

export interface Inputs {
  readonly region: string;
  readonly domain: Domain;
  readonly image: string;
  /**
   * The secret that signs the tokens of clients, one a line, by its whole ARN. Without it, one is made, which stays when another one is
   * given later. The other one has what is in it as well then, so that clients' tokens are accepted until they expire.
   */
  readonly jwtSecretArn?: string;
  /** How much there is of everything. */
  readonly size: Size;
  /**
   * Who may reach `/status`, metrics and administration, at port 9090 of each task, each under a name: a security group of this network
   * (`sg-…`), or a network (`10.1.64.0/20`). By default no one.
   */
  readonly operators: Record<string, string>;
}

export const NAMES = ['region', 'domain', 'image', 'jwtSecretArn', 'size', 'operators'];

/** Reads the inputs. The constructs that use a value check the rest of it. */
export function inputs(node: Node): Inputs {
  // Keys of the CDK itself have other characters in them. A misspelt optional input would mean nothing otherwise, such as the name that
  // Terraform has for it.
  const unknown = Object.keys(node.getAllContext()).find((key) => /^[A-Za-z_]+$/.test(key) && !NAMES.includes(key));
  refuseUnless(unknown === undefined, `${unknown} is no input: there are ${NAMES.join(', ')}.`);

  const region = text(node, 'region', 'eu-central-1');
  refuseUnless(/^[a-z]{2}(-[a-z]+)+-[0-9]$/.test(region), `region is the name of a region, such as eu-central-1: it is ${region}.`);
  const named = node.tryGetContext('size') ?? 'small';
  const size = SIZES.get(named);
  refuseUnless(size !== undefined, `size is one of ${[...SIZES.keys()].join(', ')}: it is ${named}.`);
  const jwtSecretArn = node.tryGetContext('jwtSecretArn') ?? undefined;
  return {
    region,
    domain: domain(node),
    operators: operators(node),
    image: text(node, 'image', '123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0'),
    ...(jwtSecretArn !== undefined && { jwtSecretArn: text(node, 'jwtSecretArn', 'arn:aws:secretsmanager:…') }),
    size,
  };
}

function text(node: Node, name: string, example: string): string {
  const value: unknown = node.tryGetContext(name);
  refuseUnless(value !== undefined, `${name} is missing: write it into "context" of infra/cdk.json, or add -c ${name}=${example}`);
  refuseUnless(typeof value === 'string', `${name} is a text, such as ${example}.`);
  return value;
}

/** An object in the file, and its JSON on the command line. Undefined: it is neither. */
function texts(node: Node, name: string): Record<string, string> | undefined {
  let value: unknown = node.tryGetContext(name);
  try {
    if (typeof value === 'string') value = JSON.parse(value);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.values(value).every((each) => typeof each === 'string') ? (value as Record<string, string>) : undefined;
}

function domain(node: Node): Domain {
  const example = '{"name": "realtime.example.com", "zoneId": "Z0123456789ABCDEFGHIJ"}';
  refuseUnless(
    node.tryGetContext('domain') !== undefined,
    `domain is missing: write it into "context" of infra/cdk.json, or add -c domain='${example}'`,
  );
  const { name, zoneId } = texts(node, 'domain') ?? {};
  refuseUnless(name !== undefined && zoneId !== undefined, `domain is a name and the id of its zone in Route 53, such as ${example}.`);
  return { name, zoneId };
}

function operators(node: Node): Record<string, string> {
  if (node.tryGetContext('operators') === undefined) return {};
  const found = texts(node, 'operators');
  refuseUnless(found !== undefined, 'operators are security groups and networks under names, such as {"vpn": "sg-0123456789abcdef0"}.');
  return found;
}
