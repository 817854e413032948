// Follows with npm's `eventsource` and prints the reports as JSON.
// Usage: node eventsource.mjs BASE_URL

import { EventSource } from "eventsource";
import { follow } from "./follow.mjs";

await follow(process.argv[2], EventSource, (report) => console.log(JSON.stringify(report)));
