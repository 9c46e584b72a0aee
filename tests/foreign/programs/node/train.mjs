// A training that is not Python: JSON as its config, JSON lines as its log, a checkpoint at SIGINT.
import { readFileSync, writeFileSync } from "node:fs";

const [config, folder, ...rest] = process.argv.slice(2);
const settings = { steps: 20, lr: 0.1, pause: 0, ...JSON.parse(readFileSync(config, "utf8")) };
for (const word of rest) {
  const [key, value] = word.replace(/^--/, "").split("=");
  settings[key] = key === "resume" ? value : Number(value);
}
let step = settings.resume ? Number(readFileSync(settings.resume, "utf8")) : 0;
const save = () => writeFileSync(`${folder}/weights.safetensors`, String(step));
process.on("SIGINT", () => {
  save();
  process.exit(130);
});
while (step < settings.steps) {
  step += 1;
  if (step === settings.break_at && !settings.resume) {
    save();
    throw new TypeError("Cannot read properties of undefined (reading 'shape')");
  }
  console.log(JSON.stringify({ step, loss: 1 / step, lr: settings.lr }));
  await new Promise((resolve) => setTimeout(resolve, 1000 * settings.pause));
}
save();
