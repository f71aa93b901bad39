/**
 * Values that can be used, and what is said about others. The message is for who deploys, so the app ends with it alone, without a
 * stack trace (bin/realtime.ts).
 */

/** A value that cannot be used. The message says which values can be. */
export class InvalidInput extends Error {}

/** Refuses a value, unless the condition holds. */
export function refuseUnless(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvalidInput(message);
}

/** The name that resources of a construct begin with. */
export function validName(name: string): string {
  refuseUnless(
    /^[a-z]([a-z0-9]|-(?=[a-z0-9])){0,19}$/.test(name),
    `name has 1 to 20 small letters, digits and single hyphens, and begins with a letter: it is ${name}.`,
  );
  return name;
}

/** Days that a group of CloudWatch Logs can keep its lines. */
export function validRetention(days: number): number {
  const periods = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096];
  refuseUnless(periods.includes(days), `logRetentionDays is one of the periods of CloudWatch Logs, such as 30, 90 or 365: it is ${days}.`);
  return days;
}

/** The name of a server, and the id of its zone. */
export function validDomain(domain: { readonly name: string; readonly zoneId: string }): void {
  refuseUnless(
    /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/.test(domain.name),
    `domain.name is a whole name in small letters without a scheme, such as realtime.example.com: it is ${domain.name}.`,
  );
  refuseUnless(domain.name.length <= 64, `domain.name has at most 64 characters, as a certificate of ACM: it is ${domain.name}.`);
  refuseUnless(
    /^Z[A-Z0-9]+$/.test(domain.zoneId),
    `domain.zoneId is the id of a hosted zone, such as Z0123456789ABCDEFGHIJ: aws route53 list-hosted-zones shows it. It is ${domain.zoneId}.`,
  );
}

/** A network of clients or operators, which is not everyone. */
export function validClientCidr(cidr: string): string {
  const prefix = Number(/^(?:\d{1,3}\.){3}\d{1,3}\/(\d+)$/.exec(cidr)?.[1]);
  refuseUnless(prefix >= 16 && prefix <= 32, `A network of clients or operators has at most 65,536 addresses, such as 10.1.64.0/20: it is ${cidr}.`);
  return cidr;
}
