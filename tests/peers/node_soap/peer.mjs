// SOAP as node-soap speaks it.
//
// peer.mjs client PORT   reads the WSDL and calls an operation; says "found Meier"
// peer.mjs mtom PORT     sends a document beside the message, as MTOM has it; says the status of the answer
// peer.mjs other PORT    the same, and calls an operation that nobody allows
import { fileURLToPath } from 'node:url';
import soap from 'soap';

const [mode, port] = process.argv.slice(2);
const endpoint = `http://127.0.0.1:${port}/records`;

if (mode === 'client') {
  const client = await soap.createClientAsync(`${endpoint}?wsdl`);
  const [{ FindResult }] = await client.FindAsync({ id: 'PQ4711' });
  console.log('found', FindResult);
} else {
  const wsdl = fileURLToPath(new URL('records.wsdl', import.meta.url));
  const client = await soap.createClientAsync(wsdl, { endpoint });
  const call = mode === 'mtom' ? client.FindAsync : client.DeleteAsync;
  let status;
  client.on('response', (body, response) => { status = response.status; });
  const document = { mimetype: 'application/pdf', contentId: 'document', name: 'a.pdf', body: Buffer.alloc(300_000, 'PHISECRET') };
  // What answers here is no SOAP service: only the status counts.
  await call.call(client, { id: 'PQ4711' }, { forceMTOM: true, attachments: [document] }).catch(() => {});
  console.log('answered', status);
}
