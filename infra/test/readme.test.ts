import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NAMES } from '../lib/inputs';
import { templates } from './stacks';

/** The first cells of the rows of the table with this heading. */
function table(heading: string): string[] {
  const lines = readFileSync(join(__dirname, '../README.md'), 'utf8').split('\n');
  const rows = lines.slice(lines.findIndex((line) => line.startsWith(`| ${heading} |`)) + 2);
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith('|')),
    )
    .map((line) => /`([^`]+)`/.exec(line)?.[1] ?? line);
}

test('the README has every input', () => {
  assert.deepEqual(table('input'), NAMES);
});

test('the README has every output', () => {
  const outputs = Object.values(templates()).flatMap((template) => Object.keys(template.findOutputs('*')));
  assert.deepEqual(table('output').sort(), outputs.sort());
});

test('the README has every construct', () => {
  const sources = readdirSync(join(__dirname, '../lib'), { recursive: true, encoding: 'utf8' }).filter((file) => /^(\w+|\w+\/index)\.ts$/.test(file));
  const constructs = sources.flatMap(
    (file) => /^export class (\w+) extends Construct/m.exec(readFileSync(join(__dirname, '../lib', file), 'utf8'))?.[1] ?? [],
  );
  assert.deepEqual(table('construct').sort(), constructs.sort());
});
