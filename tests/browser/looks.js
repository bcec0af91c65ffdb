// What can be seen of a page, by the styles that the browser has computed. Each function returns sentences: what is wrong.
({
  // Text that stands out too little from what is behind it, by the formula of WCAG 2.2.
  lowContrast() {
    const pixel = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const colorOf = (written) => {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = written;
      pixel.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((part, i) => part * a + below[i] * (1 - a));
    const luminance = (color) => {
      const [r, g, b] = color.map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
      const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
      return (light + 0.05) / (dark + 0.05);
    };
    const parents = (element) => {
      const found = [];
      for (let one = element; one; one = one.parentElement) found.push(one);
      return found;
    };
    const backgroundOf = (element) => {
      const layers = [];
      for (const one of parents(element)) {
        const color = colorOf(getComputedStyle(one).backgroundColor);
        layers.push(color);
        if (color[3] === 1) return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
      }
      return null; // the page leaves it to the browser, which need not fit the text
    };
    const look = (element, text) => {
      const style = getComputedStyle(element);
      const behind = backgroundOf(element);
      const shown = `${element.tagName.toLowerCase()} "${text.slice(0, 40)}"`;
      if (behind === null) return `${shown}: nothing opaque is behind it`;
      const color = colorOf(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
      color[3] *= parents(element).reduce((all, one) => all * Number(getComputedStyle(one).opacity), 1);
      const size = parseFloat(style.fontSize);
      const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      const found = ratio(over(color, behind), behind);
      return found < least ? `${shown}: ${found.toFixed(2)}, and ${least} is the least` : null;
    };
    const wrong = new Set();
    let seen = 0;
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode.data.trim();
      const element = texts.currentNode.parentElement;
      if (!text || !element.checkVisibility({visibilityProperty: true}) || element.matches(":disabled")) continue;
      seen += 1;
      wrong.add(look(element, text));
    }
    for (const field of document.querySelectorAll("input:not([type=hidden]), textarea, select"))
      if (field.checkVisibility({visibilityProperty: true}) && !field.disabled) wrong.add(look(field, field.name));
    wrong.delete(null);
    return seen ? [...wrong] : ["there is no text"];
  },

  // Parts that reach beyond the window, so that the page scrolls sideways.
  tooWide() {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.body.querySelectorAll("*")]
      .filter((element) => element.getBoundingClientRect().right > width + 0.5)
      .map((element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""} #${element.id}`);
  },

  // Whether the part that has the focus shows it: by an outline, or by a shadow around it.
  focusIsSeen() {
    const style = getComputedStyle(document.activeElement);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== "none";
  },
})
