// Validates resources of FHIR R4 by `fhir`, one of its lines of standard input after the other; says "valid COUNT".
import { createInterface } from 'node:readline';
import { Fhir } from 'fhir';

const validator = new Fhir();
let count = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { valid, messages } = validator.validate(JSON.parse(line), { errorOnUnexpected: true });
  const wrong = messages.filter(({ severity }) => ['error', 'fatal'].includes(severity));
  if (!valid || wrong.length > 0) {
    console.error(`line ${count + 1}: ${JSON.stringify(wrong)}\n${line}`);
    process.exit(1);
  }
  count += 1;
}
console.log('valid', count);
