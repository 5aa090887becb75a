// Holds compiled definitions against the validator that Step Functions users know:
//   NODE_PATH=<where asl-validator is installed> node validate.js a.asl.json b.asl.json ...
// Prints what is wrong, file by file, and exits 1 if anything is.
const { readFileSync } = require("node:fs");
const validate = require("asl-validator");

let wrong = 0;
for (const file of process.argv.slice(2)) {
  const result = validate(JSON.parse(readFileSync(file, "utf8")));
  if (!result.isValid) {
    wrong += 1;
    console.log(`${file}: ${result.errorsText()}`);
  }
}
process.exitCode = wrong === 0 ? 0 : 1;
