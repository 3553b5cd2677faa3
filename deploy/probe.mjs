// Asks the service in this container: `node deploy/probe.mjs /ready` ends with 0 where the answer is a good one. Only
// /health is answered without a key, so a probe of Kubernetes by HTTP, which can read no Secret, would never see it ready.
const { INDELIBLE_PORT: port, INDELIBLE_OPERATOR_KEY: key } = process.env;

const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
const answer = await fetch(`http://127.0.0.1:${port}${process.argv[2]}`, { headers });
if (!answer.ok) {
  console.error(await answer.text());
  process.exitCode = 1;
}
