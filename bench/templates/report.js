// Start: the page is whole without this script; with it, it can be filtered and asked.
if (report) {
  document.documentElement.classList.add("live-page");
  applyFilter();
}
window.addEventListener("hashchange", openTarget);
if (location.hash) openTarget();
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not(.filter-box)").forEach((details) => {
    details.open = true;
    if (details.matches(".instance")) drawInstance(details);
  });
});
