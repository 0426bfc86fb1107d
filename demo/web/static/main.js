/* Main: puts the parts together. Who shows does not ask each other; all of them look at the model. */

import { found, say } from "./element.js";
import { Feed } from "./feed.js";
import { Lessons } from "./lessons.js";
import { Model } from "./model.js";
import { Panes } from "./panes.js";
import { SpaceTime } from "./spacetime.js";
import { Topology } from "./topology.js";
import { Verdict } from "./verdict.js";
import { Why } from "./why.js";

const SAID = 6000;

const model = new Model();
const feed = new Feed((report) => model.take(report), (there) => model.standing(there));

/** Ask for something to be done; what went wrong is told. Is it done? */
async function does(what, fields) {
  try {
    await feed.ask(what, fields);
    return true;
  } catch (error) {
    does.failed(error);
    return false;
  }
}

let quiet;
does.failed = (error) => {
  say(found("said"), error.message);
  clearTimeout(quiet);
  quiet = setTimeout(() => say(found("said"), ""), SAID);
};

const why = new Why(does, feed);
new Verdict(model);
new Topology(model, does);
new SpaceTime(model, why);
new Panes(model, feed, does, why);
new Lessons(model, does);
