// A FHIR R4 repository by Medplum's router, over mutual TLS, which takes only what `fhir` finds valid.
//
// peer.mjs PORT DIR [MODE]    DIR has tls.crt, tls.key and ca.crt; says "listening PORT" (0: the kernel chooses),
//                             "peer SHA-256" of the client's certificate with the first request of each connection,
//                             "bundle COUNT" for each Bundle, and "created RESOURCE" for each event
// MODE: `singles` takes no Bundles, `choosy` takes no event that tells of a use of restricted functions, `busy` asks for a second's patience three times,
// `closing` ends the connection with each answer
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { OperationOutcomeError, badRequest } from '@medplum/core';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import { Fhir } from 'fhir';

const [port, dir, mode] = process.argv.slice(2);
const validator = new Fhir();
let patience = mode === 'busy' ? 3 : 0;

class Repository extends MemoryRepository {
  async createResource(resource) {
    const { valid } = validator.validate(resource, { errorOnUnexpected: true });
    if (!valid || (mode === 'choosy' && JSON.stringify(resource.subtype).includes('110132'))) {
      throw new OperationOutcomeError(badRequest('this event is not taken'));
    }
    const created = await super.createResource(resource);
    console.log('created', JSON.stringify(resource));
    return created;
  }
}

const router = new FhirRouter();
const repository = new Repository();

async function answer(request, text) {
  const body = JSON.parse(text);
  if (request.headers['content-type'] !== 'application/fhir+json' || !request.url.startsWith('/fhir')) {
    return [404];
  }
  if (patience > 0) {
    patience -= 1;
    return [503, undefined, { 'retry-after': '1' }];
  }
  if (body.resourceType === 'Bundle') {
    console.log('bundle', body.entry.length);
    if (mode === 'singles') {
      return [405];
    }
  }
  const url = request.url.slice('/fhir'.length) || '/';
  const asked = { method: 'POST', url, pathname: '', body, params: {}, query: {}, headers: request.headers };
  const [outcome, resource] = await router.handleRequest(asked, repository);
  const status = outcome.id === 'created' ? 201 : outcome.id === 'ok' ? 200 : 400;
  return [status, resource ?? outcome];
}

const pem = (name) => readFileSync(`${dir}/${name}`);
const tls = { cert: pem('tls.crt'), key: pem('tls.key'), ca: pem('ca.crt'), requestCert: true, rejectUnauthorized: true };
const seen = new WeakSet();
const server = createServer(tls, async (request, response) => {
  if (!seen.has(request.socket)) {
    seen.add(request.socket);
    const fingerprint = request.socket.getPeerCertificate().fingerprint256;
    console.log('peer', JSON.stringify(fingerprint.replaceAll(':', '').toLowerCase()));
  }
  let text = '';
  for await (const piece of request) {
    text += piece;
  }
  const [status, resource, headers] = await answer(request, text);
  if (mode === 'closing') {
    response.setHeader('connection', 'close');
  }
  response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers });
  response.end(resource && JSON.stringify(resource));
});
server.keepAliveTimeout = 0; // no request meets the end of an idle connection
server.listen(Number(port), '127.0.0.1', () => console.log('listening', server.address().port));
