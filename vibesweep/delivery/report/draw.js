"use strict";
// Unpacks Plotly, which lies compressed in the page, and draws every figure.
(async () => {
  const nonce = document.currentScript.nonce;
  const packed = document.getElementById("plotly");
  try {
    const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.nonce = nonce;
    script.textContent = await new Response(unpacked).text();
    document.head.append(script);
    packed.remove();
    // A finger that moves over a figure scrolls the page
    const touched = matchMedia("(pointer: coarse)").matches;
    for (const place of document.querySelectorAll(".plot")) {
      const figure = JSON.parse(place.dataset.figure);
      const config = { displayModeBar: false, responsive: true };
      figure.layout.dragmode = touched ? false : "zoom";
      await Plotly.newPlot(place, figure.data, figure.layout, config);
      place.removeAttribute("data-figure");
    }
    document.documentElement.dataset.drawn = "yes";
  } catch (error) {
    const told = document.getElementById("undrawn");
    told.textContent = `The figures could not be drawn (${error}). The tables hold the same.`;
    told.hidden = false;
    console.error(error);
  }
})();
