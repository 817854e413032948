// Follows with npm's `eventsource` and prints what `follow` says. Usage: node eventsource.mjs BASE_URL

import { EventSource } from "eventsource";
import { follow } from "./follow.mjs";

await follow(process.argv[2], EventSource, (what) => console.log(JSON.stringify(what)));
