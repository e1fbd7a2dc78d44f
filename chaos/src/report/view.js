// The picture: one canvas of lanes, one of the whole run, and labels over them.

const LEFT = 58, TOP = 22;
const css = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const shown = Object.fromEntries(KINDS.map(kind => [kind, true])), lanesShown = run.lanes.map(() => true);
const canvas = $("view"), pen = canvas.getContext("2d"), map = $("map"), mapPen = map.getContext("2d");
let from = 0, to = END, chosen = null, hits = [], hit = -1, wide = 800, lane = 36, rows = [];

const x = at => LEFT + (at - from) / (to - from) * (wide - LEFT - 8);
const back = px => from + (px - LEFT) / (wide - LEFT - 8) * (to - from);
const y = number => TOP + rows.indexOf(number) * lane;
const seen = number => lanesShown[number];

function fit(target, context, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (target.width !== Math.round(width * ratio) || target.height !== Math.round(height * ratio)) {
    target.width = Math.round(width * ratio); target.height = Math.round(height * ratio);
    target.style.width = width + "px"; target.style.height = height + "px";
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
}

function draw() {
  rows = run.lanes.map((_, number) => number).filter(seen);
  wide = $("box").clientWidth;
  const room = $("box").clientHeight - TOP - 4;
  lane = Math.max(26, Math.min(84, Math.floor(room / Math.max(rows.length, 1))));
  fit(canvas, pen, wide, TOP + lane * rows.length + 2);
  grid(); lives(); messages(); marks(); thread(); hitsAndChosen(); names(); flags(); overview();
}

function grid() {
  const raw = (to - from) / Math.max(wide / 110, 2), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(n => n * power).find(step => step >= raw);
  pen.font = "11px ui-sans-serif,system-ui,sans-serif"; pen.fillStyle = css("dim"); pen.strokeStyle = css("grid"); pen.lineWidth = 1;
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    pen.beginPath(); pen.moveTo(x(at) + .5, TOP); pen.lineTo(x(at) + .5, TOP + lane * rows.length); pen.stroke();
    pen.fillText((at / 1e6).toFixed(step < 1e3 ? 6 : step < 1e5 ? 3 : step < 1e6 ? 1 : 0) + " s", x(at) + 3, 14);
  }
  pen.strokeStyle = css("line");
  for (let row = 0; row <= rows.length; row++) {
    pen.beginPath(); pen.moveTo(0, TOP + row * lane + .5); pen.lineTo(wide, TOP + row * lane + .5); pen.stroke();
  }
  if (run.calm !== null && run.calm > from && run.calm < to) {
    pen.strokeStyle = css("ok"); pen.setLineDash([4, 4]); pen.beginPath(); pen.moveTo(x(run.calm), TOP); pen.lineTo(x(run.calm), TOP + lane * rows.length);
    pen.stroke(); pen.setLineDash([]); pen.fillStyle = css("ok"); pen.fillText("calm", x(run.calm) + 4, TOP + 11);
  }
}

function bar(span, top, height, color, alpha) {
  const left = Math.max(x(span.from), LEFT), right = Math.min(x(span.to), wide);
  pen.globalAlpha = alpha; pen.fillStyle = color; pen.fillRect(left, y(span.lane) + top, Math.max(right - left, 2), height); pen.globalAlpha = 1;
  return [left, Math.max(right - left, 2)];
}

// Machines that run, lead, pause; and faults, one above the other where they overlap.
function lives() {
  const levels = new Map();
  for (const span of spans) {
    if (!shown[span.kind] || !seen(span.lane) || span.to < from || span.from > to) continue;
    if (span.kind === "start") bar(span, 3, lane - 6, css("up"), 1);
    else if (span.kind === "leader") bar(span, 3, 3, css("leader"), 1);
    else if (span.kind === "pause") bar(span, lane / 2 - 3, 6, css("pause"), .6);
    else {
      const busy = (levels.get(span.lane) || []).filter(other => other.to > span.from);
      let level = 0;
      while (busy.some(other => other.level === level)) level++;
      levels.set(span.lane, [...busy, {to: span.to, level}]);
      const height = Math.max(4, Math.min(11, lane / 4)), top = lane - 3 - height - (level % 3) * (height + 1);
      const [left, width] = bar(span, top, height, css("fault"), span.needed ? .95 : .4);
      span.box = [left, y(span.lane) + top, width, height];
      if (width > 60 && height > 8) {
        pen.save(); pen.beginPath(); pen.rect(left, y(span.lane) + top, width, height); pen.clip();
        pen.fillStyle = span.needed ? "#fff" : css("ink"); pen.font = "9px ui-sans-serif,system-ui,sans-serif";
        pen.fillText(span.what.replace(/^(fault|mishap) /, ""), left + 3, y(span.lane) + top + height - 2.5); pen.restore();
      }
    }
  }
}

// The lane of "node 5": members come first, then whatever has the other numbers.
function laneOfNode(number) {
  const members = Number((/members=(\d+)/.exec(run.plan) || [0, 3])[1]);
  if (number <= members) return run.lanes.indexOf("m" + number);
  return ["f", "c", "n"].map(letter => run.lanes.indexOf(letter + (number - members))).find(lane => lane >= 0) ?? -1;
}

function messages() {
  if (!shown.message) return;
  const seenNow = run.events.filter(event => event[KIND] === "message" && event[AT] >= from && event[AT] <= to && seen(event[LANE]));
  pen.strokeStyle = css("message"); pen.globalAlpha = Math.max(.12, Math.min(.7, 150 / Math.max(seenNow.length, 1)));
  pen.beginPath();
  for (const event of seenNow) {
    const other = laneOfNode(Number((/to node (\d+)/.exec(event[TEXT]) || [])[1]));
    if (other < 0 || !seen(other)) continue;
    pen.moveTo(x(event[AT]), y(event[LANE]) + lane / 2); pen.lineTo(x(event[AT]) + 4, y(other) + lane / 2);
  }
  pen.stroke(); pen.globalAlpha = 1;
}

function marks() {
  if (shown.call) for (const call of calls) {
    if (call.to < from || call.from > to || !seen(call.lane)) continue;
    pen.fillStyle = css({ok: "call", refused: "other", unknown: "fault"}[call.how]);
    pen.globalAlpha = .35; pen.fillRect(Math.max(x(call.from), LEFT), y(call.lane) + lane / 2 - 4, Math.max(x(call.to) - Math.max(x(call.from), LEFT), 1), 8);
    pen.globalAlpha = 1; pen.fillRect(x(call.to) - 1, y(call.lane) + lane / 2 - 6, 2.5, 12);
  }
  for (const [at, number, kind] of run.events) {
    if (kind === "message" || kind === "call" || !shown[kind] || at < from || at > to || !seen(number)) continue;
    pen.fillStyle = css(kind);
    if (kind === "watch") pen.fillRect(x(at) - 1, y(number) + 5, 2, 5);
    else if (kind === "other") pen.fillRect(x(at) - .75, y(number) + lane / 2 - 3, 1.5, 6);
    else pen.fillRect(x(at) - 1, y(number) + 3, 2.5, lane - 6);
  }
  if (accused && seen(accused.lane)) {
    const left = Math.max(x(accused.from), LEFT), right = Math.max(x(accused.to), left + 3);
    if (right >= LEFT && x(accused.from) <= wide) {
      pen.fillStyle = css("bad"); pen.fillRect(left, y(accused.lane) + lane / 2 - 5, right - left, 10);
      pen.strokeStyle = css("bad"); pen.lineWidth = 2; pen.strokeRect(left - 3, y(accused.lane) + lane / 2 - 9, right - left + 6, 18); pen.lineWidth = 1;
    }
  }
}

// From the faults that it needs to the failure.
function thread() {
  const at = accused ? accused.from : failure ? failure.at : null;
  const number = accused ? accused.lane : failure ? Math.max(run.lanes.indexOf("m" + failure.member), 0) : 0;
  if (at === null || !seen(number) || !seen(0)) return;
  pen.strokeStyle = css("bad"); pen.lineWidth = 1.5; pen.setLineDash([5, 4]); pen.globalAlpha = .8;
  for (const span of spans.filter(span => span.needed && span.lane === 0)) {
    const near = Math.min(Math.max(at, span.from), span.to), [sx, sy, tx, ty] = [x(near), y(0) + lane - 3, x(at), y(number) + lane / 2 - 10];
    if (Math.max(sx, tx) < LEFT || Math.min(sx, tx) > wide) continue;
    pen.beginPath(); pen.moveTo(sx, sy); pen.bezierCurveTo(sx, (sy + ty) / 2, tx, (sy + ty) / 2, tx, ty); pen.stroke();
  }
  pen.setLineDash([]); pen.globalAlpha = 1; pen.lineWidth = 1;
}

function hitsAndChosen() {
  pen.lineWidth = 2; pen.strokeStyle = css("stop");
  for (const index of hits) {
    const [at, number] = run.events[index];
    if (at >= from && at <= to && seen(number)) pen.strokeRect(x(at) - 4, y(number) + 4, 8, lane - 8);
  }
  if (chosen && seen(chosen[LANE]) && chosen[AT] >= from && chosen[AT] <= to) {
    pen.strokeStyle = css("ink"); pen.strokeRect(x(chosen[AT]) - 5, y(chosen[LANE]) + 3, 10, lane - 6);
  }
  pen.lineWidth = 1;
}

function names() {
  pen.fillStyle = css("card"); pen.fillRect(0, TOP + 1, LEFT - 3, lane * rows.length);
  pen.font = "600 12px ui-sans-serif,system-ui,sans-serif";
  for (const number of rows) {
    pen.fillStyle = accused && number === accused.lane ? css("bad") : css("ink");
    pen.fillText(run.lanes[number], 12, y(number) + lane / 2 + 4);
  }
}

// Labels that the picture must not be without: the failing operation and the faults that it needs.
function flags() {
  const box = $("flags");
  box.style.height = TOP + lane * rows.length + "px";
  box.replaceChildren();
  const placed = [];
  const add = (name, at, until, number, text, go) => {
    if (until < from || at > to || !seen(number)) return;
    const flag = document.createElement("div");
    flag.className = "flag " + name; flag.textContent = text; flag.title = text; flag.onclick = go;
    box.append(flag);
    let left = Math.max(x(Math.max(at, from)), LEFT + 2);
    // Beside those of the lane that it would cover: faults often begin together.
    for (const other of placed) if (other.number === number && left < other.right && left + flag.offsetWidth > other.left) left = other.right + 4;
    left = Math.min(left, wide - flag.offsetWidth - 6);
    placed.push({number, left, right: left + flag.offsetWidth});
    flag.style.left = left + "px"; flag.style.top = Math.max(y(number) + 1, 0) + "px";
  };
  for (const span of spans) if (span.needed && span.lane === 0) add("fault", span.from, span.to, 0, short(span.what), () => choose(run.events[span.index]));
  if (accused) add("deed", accused.from, accused.to, accused.lane, `op ${accused.tag}: ${failure.invariant}`, chooseAccused);
  else if (failure) add("deed", failure.at, failure.at, Math.max(run.lanes.indexOf("m" + failure.member), 0), failure.invariant, () => show(...scene()));
}

function overview() {
  const width = map.clientWidth, scale = (width - LEFT - 8) / END, place = at => LEFT + at * scale;
  fit(map, mapPen, width, 40);
  mapPen.fillStyle = css("dim"); mapPen.font = "600 11px ui-sans-serif,system-ui,sans-serif"; mapPen.fillText("run", 12, 24);
  const bins = new Array(Math.max(1, Math.ceil((width - LEFT) / 3))).fill(0);
  for (const call of calls) bins[Math.min(bins.length - 1, Math.floor((place(call.to) - LEFT) / 3))]++;
  const most = Math.max(...bins, 1);
  mapPen.fillStyle = css("call"); mapPen.globalAlpha = .5;
  bins.forEach((count, bin) => mapPen.fillRect(LEFT + bin * 3, 30 - count / most * 20, 2, count / most * 20));
  mapPen.globalAlpha = 1;
  for (const span of spans.filter(span => span.kind === "begin" && span.lane === 0)) {
    mapPen.globalAlpha = span.needed ? 1 : .4; mapPen.fillStyle = css("fault");
    mapPen.fillRect(place(span.from), 32, Math.max((span.to - span.from) * scale, 2), 5);
  }
  mapPen.globalAlpha = 1;
  if (failure) { mapPen.fillStyle = css("bad"); mapPen.fillRect(place(accused ? accused.to : failure.at) - 1, 4, 3, 34); }
  mapPen.strokeStyle = css("ink"); mapPen.lineWidth = 1.5;
  mapPen.strokeRect(place(from), 3, Math.max((to - from) * scale, 3), 35);
  mapPen.fillStyle = css("ink"); mapPen.globalAlpha = .06; mapPen.fillRect(place(from), 3, Math.max((to - from) * scale, 3), 35); mapPen.globalAlpha = 1;
}
