// Makes twilio-node's calls as they come in, one JSON line each, and answers each with one JSON line of what it came to.
"use strict";
const readline = require("node:readline");
const twilio = require("twilio");
const RequestClient = require("twilio/lib/base/RequestClient");

let client;

class Rebased extends RequestClient {
  constructor(base) {
    super({ timeout: 30000 });
    this.base = base;
  }
  request(options) {
    const asked = new URL(options.uri);
    return super.request({ ...options, uri: this.base + asked.pathname + asked.search });
  }
}

const orders = {
  connect({ username, password, accountSid, url, rebased, options }) {
    const more = rebased ? { httpClient: new Rebased(url) } : {};
    client = twilio(username, password, { accountSid, ...options, ...more });
    if (!rebased) {
      client.verify.baseUrl = url;
      client.api.baseUrl = url;
    }
    return client.accountSid;
  },

  // Steps are names to follow, with arguments where they are called.
  async call({ steps }) {
    let owner, found = client;
    for (const [name, given] of steps) {
      [owner, found] = [found, found[name]];
      if (given) [owner, found] = [undefined, await found.apply(owner, given.map(revived))];
    }
    return found;
  },

  validate({ token, signature, url, parameters }) {
    return twilio.validateRequest(token, signature, url, parameters);
  },
};

function revived(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  if ("$date" in value) return new Date(value.$date);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, name === "rateLimits" ? inner : revived(inner)]));
}

function told(error) {
  if (error.constructor.name !== "RestException") return { broke: String(error.stack) };
  const { status, code, message, details } = error;
  return { refused: { status, code, message, details } };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [order, given] = JSON.parse(line);
    const answer = await Promise.resolve(given).then(orders[order]).then((value) => ({ value: value ?? null }), told);
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}

main();
