// HL7 v2 over MLLP as Medplum's interface engine speaks it.
//
// peer.mjs server [enhanced]   acknowledges what comes; says "listening PORT"
// peer.mjs client PORT COUNT   sends so many messages on one connection, all at once; says each MSA-1
import { Hl7Message } from '@medplum/core';
import { Hl7Client, Hl7Server, ReturnAckCategory } from '@medplum/hl7';

const [mode, ...rest] = process.argv.slice(2);

if (mode === 'server') {
  const server = new Hl7Server((connection) => {
    connection.addEventListener('message', ({ message }) => {
      console.log('received', message.getSegment('MSH').getField(9).toString());
      connection.send(message.buildAck());
    });
  });
  server.start(0, 'utf-8', rest[0] === 'enhanced');
  server.server.on('listening', () => console.log('listening', server.server.address().port));
} else {
  const [port, count] = rest.map(Number);
  const client = new Hl7Client({ host: '127.0.0.1', port, keepAlive: true });
  const message = (number) => Hl7Message.parse([
    `MSH|^~\\&|LIS|MAIN|EHR|WARD 3|20261122130000|PHISECRET|ADT^A01|PHIMRN${number}|P|2.5`,
    'PID|1||PHI4711||PHIDOE^JOHN',
  ].join('\r'));
  await client.connect();
  const sent = Array.from({ length: count }, (_, number) =>
    client.sendAndWait(message(number), { returnAck: ReturnAckCategory.APPLICATION }));
  for (const answer of await Promise.all(sent)) {
    const msa = answer.getSegment('MSA');
    console.log('answer', msa.getField(1).toString(), msa.getField(2).toString());
  }
  await client.close();
}
