"use strict";
// Values: of the mark under the pointer, or of the one that the keyboard has reached.
const tip = document.getElementById("tip");
function show(mark) {
  const place = mark.getBoundingClientRect();
  tip.textContent = mark.getAttribute("aria-label").replaceAll("; ", "\n");
  tip.hidden = false;
  tip.style.left = `${Math.max(0, Math.min(place.right + 8, innerWidth - tip.offsetWidth - 8)) + scrollX}px`;
  tip.style.top = `${place.top + scrollY}px`;
}
const hide = () => { tip.hidden = true; };
for (const mark of document.querySelectorAll(".mark")) {
  mark.addEventListener("mouseenter", () => show(mark));
  mark.addEventListener("focus", () => show(mark));
  mark.addEventListener("mouseleave", hide);
  mark.addEventListener("blur", hide);
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
// Tables: a heading sorts by its column, and again the other way round.
const value = (row, index) => row.cells[index].dataset.value ?? row.cells[index].textContent;
function sort(table, heading) {
  const down = heading.getAttribute("aria-sort") !== "descending";
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const order = (a, b) => {
    const [x, y] = [value(a, heading.cellIndex), value(b, heading.cellIndex)];
    return x === y ? 0 : isNaN(x) || isNaN(y) ? x.localeCompare(y, "en", {numeric: true}) : x - y;
  };
  const rows = [...table.tBodies[0].rows].sort((a, b) => down ? order(b, a) : order(a, b));
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table.sortable"))
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sort(table, heading));
    heading.replaceChildren(button);
  }
