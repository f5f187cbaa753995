/* Copies the lines beside a button. Without it there is no button, and the lines are there. */

"use strict";

(() => {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copyFrom(button));
  }

  async function copyFrom(button) {
    const code = button.parentElement.querySelector("code");
    const status = button.parentElement.querySelector("[role=status]");
    const copied = await hasCopied(code);
    button.firstChild.textContent = copied ? "Copied" : "Selected";
    status.textContent = copied ? "Copied." : "Selected; copy it with your keyboard.";
    window.setTimeout(() => {
      button.firstChild.textContent = "Copy";
      status.textContent = "";
    }, 2500);
  }

  async function hasCopied(code) {
    // Browsers offer the clipboard only to pages that come by https or from this machine.
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(code.textContent);
        return true;
      } catch (refused) {
        console.info("The clipboard was refused:", refused.message);
      }
    }
    const range = document.createRange();
    range.selectNodeContents(code);
    window.getSelection().removeAllRanges();
    window.getSelection().addRange(range);
    return document.execCommand("copy");
  }
})();
