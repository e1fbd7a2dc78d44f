"use strict";
// What the page knows of the run: events as they came, and what they make together (lives, faults, calls).

const run = JSON.parse(document.getElementById("run").textContent);
const $ = id => document.getElementById(id);
const AT = 0, LANE = 1, KIND = 2, TEXT = 3;
const END = Math.max(run.end, 1);
const KINDS = [...new Set(run.events.map(event => event[KIND]))];
const time = at => (at / 1e6).toFixed(at < 1e7 ? 4 : 3) + " s";
const tagOf = event => Number((/^(?:op|watch|deed) (\d+)/.exec(event[TEXT]) || [])[1]);

// The line of the plan for each operation: "op 17 put at=1250ms client=2 key=3 size=16".
const planned = new Map();
for (const hit of run.plan.matchAll(/^op (\d+) (.*?)\s*$/gm)) {
  const at = /\bat=(\d+)ms/.exec(hit[2]), client = /\bclient=(\d+)/.exec(hit[2]);
  planned.set(Number(hit[1]), {text: hit[2], at: at ? at[1] * 1000 : null, client: client ? "c" + client[1] : null});
}

// Calls from begin to end; the plan says when a call began, the trace when it ended and how.
const calls = run.events.map((event, index) => [event, index]).filter(([event]) => event[KIND] === "call").map(([event, index]) => {
  const tag = tagOf(event), from = planned.get(tag)?.at ?? event[AT];
  const how = / Unknown$/.test(event[TEXT]) ? "unknown" : /: Refused/.test(event[TEXT]) ? "refused" : "ok";
  return {tag, lane: event[LANE], from: Math.min(from, event[AT]), to: event[AT], how, event, index};
});

// The lanes that a fault strikes, by the numbers in its line.
function struck(whom) {
  const letters = whom[1] === "members" ? ["m"] : ["f", "n", "m"];
  return whom[2].split(",").map(number => letters.map(letter => run.lanes.indexOf(letter + number.trim())).find(lane => lane >= 0))
    .filter(lane => lane !== undefined);
}

// What lasts: from the event that begins it to the one that ends it, or to the end of the run.
function spansOf() {
  const spans = [], open = new Map();
  const close = (key, at) => { const span = open.get(key); if (span) { span.to = at; open.delete(key); } };
  const begin = (key, span) => { close(key, span.from); span.to = END; open.set(key, span); spans.push(span); };
  run.events.forEach(([at, lane, kind, text], index) => {
    if (kind === "begin") {
      const what = text.slice(8).replace(/ \((members|machines) .*$/, "");
      const whom = /\((members|machines) \[(.*)\]\)$/.exec(text);
      for (const to of new Set([0, ...(whom ? struck(whom) : [])])) begin("fault " + to + what, {lane: to, kind, from: at, what, index});
    } else if (kind === "end") run.lanes.forEach((_, to) => close("fault " + to + text.slice(6), at));
    else if (kind === "start") begin("up " + lane, {lane, kind, from: at, what: "runs", index});
    else if (kind === "stop") { close("up " + lane, at); close("leader " + lane, at); close("pause " + lane, at); }
    else if (kind === "pause") begin("pause " + lane, {lane, kind, from: at, what: "paused", index});
    else if (kind === "resume") close("pause " + lane, at);
    else if (kind === "leader") {
      for (const key of [...open.keys()]) if (key.startsWith("leader")) close(key, at);
      begin("leader " + lane, {lane, kind, from: at, what: text, index});
    }
  });
  return spans;
}

const spans = spansOf();
const failure = run.failure;
const needed = new Set(failure ? failure.needed : []);
for (const span of spans) span.needed = span.kind === "begin" && needed.has(span.what);

// A short name for a line of the plan: "lying-sync on 1,2,3".
function short(line) {
  const [, name] = line.split(" "), on = /\bon=(\S+)/.exec(line);
  return name + (on ? " on " + (on[1] === "leader" ? "the leader" : "m" + on[1].replace(/,/g, ", m")) : "");
}

// The failing operation: its call if it ended, else what the plan says of it.
function accusedOf() {
  if (!failure || failure.operation === null) return null;
  const plan = planned.get(failure.operation), call = calls.find(call => call.tag === failure.operation);
  if (call) return {...call, plan};
  const lane = Math.max(run.lanes.indexOf(plan?.client ?? ""), 0);
  return {tag: failure.operation, lane, from: plan?.at ?? failure.at, to: plan?.at ?? failure.at, how: "open", event: null, index: -1, plan};
}
const accused = accusedOf();

// The part of the run that shows why: the failing operation, or the end, and the needed faults that are not too far.
function scene() {
  const faults = spans.filter(span => span.needed && span.lane === 0);
  const points = accused ? [accused.from, accused.to] : [failure ? failure.at : END];
  for (const span of faults) points.push(span.from, span.to);
  const from = Math.min(...points), to = Math.max(...points), room = Math.max((to - from) * 0.12, 150000);
  return [Math.max(0, from - room), Math.min(END, to + room)];
}
