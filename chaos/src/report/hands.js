// What a reader can do: zoom, move, filter, search, and ask what something is.

function show(begin, end) {
  const width = Math.min(Math.max(end - begin, 50), END);
  from = Math.min(Math.max(0, begin), END - width); to = from + width;
  draw();
}

function zoom(by, at) {
  const width = Math.min(Math.max((to - from) * by, 50), END);
  show(at - (at - from) / (to - from) * width, at - (at - from) / (to - from) * width + width);
}

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// The event in words, and its neighbours on all lanes.
function choose(event, note) {
  chosen = event;
  const about = element("b", "", time(event[AT]) + "  " + run.lanes[event[LANE]] + "  " + event[KIND]);
  const box = $("event");
  box.className = ""; box.style.setProperty("--of", css(event[KIND]));
  const plan = planned.get(tagOf(event));
  box.replaceChildren(about, "\n" + event[TEXT], note ? "\n" + note : "", plan ? "\nplan: " + plan.text : "");
  if (event[AT] < from || event[AT] > to) show(event[AT] - (to - from) / 2, event[AT] + (to - from) / 2);
  around(event);
  draw();
}

function around(event) {
  const quiet = run.events.filter(other => other === event || other[KIND] !== "message" && shown[other[KIND]] && seen(other[LANE]));
  const here = quiet.indexOf(event);
  $("near").replaceChildren(...quiet.slice(Math.max(0, here - 8), here + 9).map(other => {
    const row = element("tr", other === event ? "here" : "");
    row.style.setProperty("--of", css(other[KIND]));
    row.append(element("td", "", (other[AT] / 1e6).toFixed(4)), element("td", "", run.lanes[other[LANE]]), element("td", "", other[TEXT]));
    row.title = other[TEXT]; row.onclick = () => choose(other);
    return row;
  }));
}

function chooseAccused() {
  if (accused.event) choose(accused.event, `asked at ${time(accused.from)}`);
  else choose([accused.from, accused.lane, "call", `op ${accused.tag} ${accused.plan?.text ?? ""}`]);
}

function nearest(px, py) {
  const number = rows[Math.floor((py - TOP) / lane)];
  if (number === undefined) return null;
  let best = null, gap = 10;
  for (const event of run.events) {
    const away = Math.abs(x(event[AT]) - px);
    if (shown[event[KIND]] && event[LANE] === number && away < gap) { best = event; gap = away; }
  }
  if (best) return [best];
  const call = calls.find(call => call.lane === number && x(call.from) <= px && px <= x(call.to));
  if (call) return [call.event, `asked at ${time(call.from)}`];
  const at = back(px), over = spans.filter(span => span.lane === number && span.from <= at && at <= span.to && shown[span.kind]);
  const span = over.find(span => span.kind === "begin") || over[0];
  return span ? [run.events[span.index], `from ${time(span.from)} until ${time(span.to)}`] : null;
}

function search(text) {
  text = text.trim().toLowerCase();
  hits = text ? run.events.map((_, index) => index).filter(index => run.events[index][TEXT].toLowerCase().includes(text)) : [];
  hit = -1;
  $("found").textContent = text ? `${hits.length} found${hits.length ? ", Enter: next" : ""}` : "";
  draw();
}

function next(step) {
  if (!hits.length) return;
  hit = (hit + step + hits.length) % hits.length;
  $("found").textContent = `${hit + 1} of ${hits.length}`;
  choose(run.events[hits[hit]]);
}

// The next event of the same machine, in the direction of `step`.
function walk(step) {
  if (!chosen) return;
  const same = run.events.filter(event => event[LANE] === chosen[LANE] && shown[event[KIND]]);
  const other = same[same.indexOf(chosen) + step];
  if (other) choose(other);
}

function chip(text, color, toggle) {
  const made = element("button", "chip", element("i"), text);
  made.style.setProperty("--of", `var(--${color})`);
  made.setAttribute("aria-pressed", "true");
  made.onclick = () => { made.setAttribute("aria-pressed", String(toggle())); draw(); };
  return made;
}

function fill() {
  document.title = run.title + (failure ? ": " + failure.invariant : "");
  document.body.classList.toggle("failed", failure !== null);
  $("title").textContent = run.title;
  $("verdict").textContent = failure ? "failed" : "passed";
  $("figures").replaceChildren(...run.figures.map(([name, value]) => element("li", "", element("b", "", value), " " + name)));
  $("summary").textContent = run.summary + "\ncommit " + run.commit;
  $("plan").textContent = run.plan;
  const gone = Object.entries(run.gone).map(([kind, count]) => `${count} of kind ${kind}`);
  $("gone").textContent = (gone.length ? "Not drawn: " + gone.join(", ") + ". " : "") + "Disk work and applied entries are in replay --trace.";
  $("kinds").replaceChildren(...KINDS.map(kind => chip(kind, kind, () => shown[kind] = !shown[kind])));
  $("machines").replaceChildren(...run.lanes.map((name, number) => chip(name, "dim", () => lanesShown[number] = !lanesShown[number])));
  $("to-failure").disabled = failure === null;
  if (failure) explain();
}

// An answer in few words; the event has all of it.
function answer(call) {
  const text = call.event[TEXT].replace(/^\w+ \d+ on \S+: /, ""), revision = /\brevision: (\d+)/.exec(text);
  if (call.how === "unknown") return "none that the client could use: the outcome is unknown";
  if (call.how === "refused") return "refused: " + ((/message: "([^"]*)"/.exec(text) || [])[1] ?? text);
  return revision ? "answered at revision " + revision[1] : text;
}

// The three cards: what broke, which operation, which fault.
function explain() {
  $("failure").hidden = false;
  $("invariant").textContent = failure.checker + "/" + failure.invariant;
  $("text").textContent = failure.text;
  const deed = $("deed"), pair = (name, value) => [element("dt", "", name), element("dd", "", value)];
  if (accused) {
    const how = accused.event ? answer(accused) : "none in the run";
    const on = accused.event ? (/ on (\S+?):/.exec(accused.event[TEXT]) || [])[1] : failure.member !== null ? "m" + failure.member : "";
    deed.append(element("b", "", `op ${accused.tag}: ${accused.plan ? accused.plan.text.replace(/\s*\b(at|client)=\S+/g, "") : ""}`));
    deed.append(element("dl", "", ...pair("by", `${run.lanes[accused.lane]}${on ? " on " + on : ""}`),
      ...pair("asked", `${time(accused.from)}, ended ${accused.event ? time(accused.to) : "never"}`), ...pair("answer", how)));
    $("operation").onclick = chooseAccused;
  } else {
    deed.append(element("b", "", failure.member !== null ? `member m${failure.member}` : "none is named"));
    deed.append(element("p", "", `seen at ${time(failure.at)}, when the run stopped`));
    $("operation").onclick = () => show(...scene());
  }
  for (const line of failure.needed) {
    const span = spans.find(span => span.what === line && span.lane === 0);
    const row = element("div", "row", element("b", "", short(line)), element("div", "dim mono", line.replace(/^\w+ \S+ /, "")));
    row.onclick = () => span && choose(run.events[span.index], `until ${time(span.to)}`);
    $("needed").append(row);
  }
  if (!failure.needed.length) $("needed").append(element("b", "", "none: it fails without any fault"));
  $("tried").textContent = failure.needed.length > 1 ? "Without any one of these the run does not fail like this"
    : failure.needed.length ? "Without it the run does not fail like this" : "";
  $("tried").textContent += ` (${failure.runs} runs tried${failure.complete ? "" : "; not all faults, the time was over"}).`;
}

function listen() {
  let held = null;
  canvas.addEventListener("wheel", e => {
    e.preventDefault();
    if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) show(from + e.deltaX / wide * (to - from), to + e.deltaX / wide * (to - from));
    else zoom(e.deltaY > 0 ? 1.25 : 0.8, back(e.offsetX));
  }, {passive: false});
  canvas.onmousedown = e => { held = {px: e.offsetX, from, to, moved: false}; };
  canvas.onmousemove = e => {
    if (!held || Math.abs(e.offsetX - held.px) < 4 && !held.moved) return;
    held.moved = true;
    const by = (held.px - e.offsetX) / (wide - LEFT) * (held.to - held.from);
    show(held.from + by, held.to + by);
  };
  canvas.onclick = e => {
    const moved = held !== null && held.moved;
    held = null;
    if (moved) return;
    const found = nearest(e.offsetX, e.offsetY);
    if (found) choose(...found);
  };
  let moving = false;
  const follow = e => {
    const at = (e.offsetX - LEFT) / (map.clientWidth - LEFT - 8) * END;
    show(at - (to - from) / 2, at + (to - from) / 2);
  };
  map.onmousedown = e => { moving = true; follow(e); };
  map.onmousemove = e => { if (moving) follow(e); };
  // The click that ends a drag comes behind this, and must still know of the drag.
  window.addEventListener("mouseup", () => { moving = false; setTimeout(() => { held = null; }, 0); });
  window.addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  $("search").oninput = e => search(e.target.value);
  $("search").onkeydown = e => { if (e.key === "Enter") next(e.shiftKey ? -1 : 1); e.stopPropagation(); };
  $("to-all").onclick = () => show(0, END);
  $("to-failure").onclick = () => show(...scene());
  $("in").onclick = () => zoom(0.5, (from + to) / 2);
  $("out").onclick = () => zoom(2, (from + to) / 2);
  const keys = {"+": () => $("in").click(), "-": () => $("out").click(), a: () => $("to-all").click(), f: () => $("to-failure").click(),
    ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), "/": () => $("search").focus()};
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || !keys[e.key]) return;
    e.preventDefault(); keys[e.key]();
  });
}

fill();
listen();
show(...(failure ? scene() : [0, END]));
if (accused) chooseAccused();
