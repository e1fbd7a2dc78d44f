// Stands behind the page's own scripts: looks at the first screen, then does what a reader does, and writes down what it saw.
(() => {
  const found = {error: null, onScreen: {}, works: {}};
  const visible = node => {
    if (!node) return false;
    const box = node.getBoundingClientRect();
    const inside = box.width > 0 && box.height > 0 && box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
    const top = inside && document.elementFromPoint(box.left + Math.min(box.width / 2, 40), box.top + Math.min(box.height / 2, 12));
    return Boolean(inside && top && (node.contains(top) || top.contains(node)));
  };
  const press = key => document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const mouse = (node, type, px, py, more) => {
    const box = node.getBoundingClientRect();
    node.dispatchEvent(new (type === "wheel" ? WheelEvent : MouseEvent)(type, {bubbles: true, cancelable: true, clientX: box.left + px, clientY: box.top + py, ...more}));
  };
  const ink = () => {
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    const colors = new Set();
    for (let at = 0; at < pixels.length; at += 4 * 7) colors.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
    return colors.size;
  };
  try {
    found.operation = $("deed").textContent;
    found.fault = $("needed").textContent;
    found.onScreen.operation = visible($("deed").querySelector("b"));
    found.onScreen.fault = visible($("needed").querySelector(".row b"));
    found.onScreen.invariant = visible($("invariant"));
    found.onScreen.flagOfOperation = visible(document.querySelector(".flag.deed"));
    found.onScreen.flagOfFault = visible(document.querySelector(".flag.fault"));
    const works = found.works, first = [from, to];
    works.picture = ink() > 5;
    mouse(canvas, "wheel", wide / 2, 60, {deltaY: -100});
    works.zoomed = Math.abs((to - from) / (first[1] - first[0]) - 0.8) < 0.01;
    $("to-all").click();
    works.wholeRun = from === 0 && to === END;
    $("to-failure").click();
    works.backToFailure = from === first[0] && to === first[1];
    mouse(canvas, "mousedown", 600, 60); mouse(canvas, "mousemove", 500, 60); window.dispatchEvent(new MouseEvent("mouseup"));
    works.moved = from > first[0] && Math.abs((to - from) - (first[1] - first[0])) < 2;
    press("f");
    const kind = [...$("kinds").children].find(chip => chip.textContent === "call");
    kind.click();
    works.kindFiltered = shown.call === false && kind.getAttribute("aria-pressed") === "false";
    kind.click();
    const count = rows.length;
    $("machines").lastElementChild.click();
    works.machineFiltered = rows.length === count - 1;
    $("machines").lastElementChild.click();
    $("search").value = "slow-disk"; $("search").dispatchEvent(new Event("input"));
    works.searched = hits.length >= 2 && $("found").textContent.includes("found");
    $("search").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
    works.walkedHits = chosen !== null && chosen[TEXT].includes("slow-disk") && $("event").textContent.includes("slow-disk");
    $("search").value = ""; $("search").dispatchEvent(new Event("input"));
    press("f");
    const target = accused.event || run.events[0], box = canvas.getBoundingClientRect();
    chosen = null;
    mouse(canvas, "mousedown", x(target[AT]), y(target[LANE]) + lane / 2); window.dispatchEvent(new MouseEvent("mouseup"));
    mouse(canvas, "click", x(target[AT]), y(target[LANE]) + lane / 2);
    works.clicked = chosen !== null && chosen[LANE] === target[LANE] && $("event").textContent.includes(run.lanes[target[LANE]]);
    works.neighbours = $("near").rows.length > 3 && box.width > 300;
    const before = chosen;
    press("ArrowLeft");
    works.keyboard = chosen !== before && chosen[AT] <= before[AT];
  } catch (error) {
    found.error = String(error.stack || error);
  }
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = JSON.stringify(found);
  document.body.append(out);
})();
