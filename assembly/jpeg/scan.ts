// The way through a scan: its rows of MCUs, the MCUs between restart markers, and what is done when such a marker is
// not the one that is due (§F.2.2.5, and libjpeg's jpeg_resync_to_restart).
import { beginArithmetic, decodeArithmetic } from "./arithmetic";
import { beginData, beginSegment, findMarker, isLacking, reader } from "./bits";
import { prepareOffsets } from "./blocks";
import { beginExact, decodeExact, exact, findMarkerExact, isExact } from "./exact";
import { Coding, frame, Status, scan, scanned } from "./frame";
import { decodeLossless, finishLosslessRow, restartPredictions } from "./lossless";
import { decodeAcFirst, decodeAcRefine, decodeDcFirst, decodeDcRefine, prepareZeros } from "./progressive";
import { decodeToCoefficients, decodeToSamples } from "./sequential";

/** Begins the scan that the host has described. */
export function beginScan(): void {
  prepareOffsets();
  // Of all scans refinements of AC alone read it.
  if (scan.bandStart && scan.high) prepareZeros();
  scan.row = 0;
  scan.line = 0;
  scan.column = 0;
  scan.nextRestart = 0;
  scan.untilRestart = scan.restartInterval;
  scan.lastGoodRow = 0;
  scan.eobRun = 0;
  reader.marker = 0;
  reader.raw = scan.start;
  reader.isWhole = false;
  for (let c = 0; c < scan.components; c++) scanned(c).prediction = 0;
  restartPredictions();
  if (isExact()) {
    exact.isLacking = false;
    beginExact();
  } else if (scan.coding == Coding.ARITHMETIC || scan.coding == Coding.PROGRESSIVE_ARITHMETIC) beginArithmetic();
  else beginData(scan.start);
}

/**
 * Decodes at most `count` MCUs, up to the end of a row of MCUs of a scan that becomes samples at once. @returns a
 * Status.
 */
export function decode(count: i32): i32 {
  while (count > 0) {
    if (isIdle()) return Status.DONE;
    const columns = min(count, scan.columns - scan.column);
    const status = decodeColumns(columns);
    if (status != Status.MORE) return status;
    count -= columns;
    if (scan.column < scan.columns) continue;
    scan.column = 0;
    if (++scan.line < linesOfRow()) continue;
    scan.line = 0;
    if (scan.coding == Coding.LOSSLESS || scan.coding == Coding.EXACT_LOSSLESS) finishLosslessRow();
    if (++scan.row == frame.rows) return Status.DONE;
    if (scan.isDirect) return Status.ROW;
  }
  return Status.MORE;
}

/** Tells whether nothing that is kept can change any more: no bits are left, and no restart marker will be found. */
function isIdle(): bool {
  const isKept = scan.coding == Coding.PROGRESSIVE || (scan.coding == Coding.SEQUENTIAL && !scan.isDirect);
  if (!isKept || !isLacking()) return false;
  return !scan.restartInterval || (reader.marker >= 0xc0 && (reader.marker < 0xd0 || reader.marker > 0xd7));
}

/** Rows of MCUs of the scan in one of the frame. */
function linesOfRow(): i32 {
  if (scan.components > 1) return 1;
  const part = scanned(0);
  return min(part.v, part.blocksHigh - scan.row * part.v);
}

function decodeColumns(columns: i32): i32 {
  for (const end = scan.column + columns; scan.column < end; ) {
    let count = end - scan.column;
    // For smoothing: libjpeg looks at an MCU before it looks for the restart marker that comes first.
    const wasLacking = isLacking();
    if (scan.restartInterval) {
      if (!scan.untilRestart) {
        const status = restart();
        if (status != Status.MORE) return status;
        if (wasLacking) count = 1;
      }
      count = min(count, scan.untilRestart);
      scan.untilRestart -= count;
    }
    if (!wasLacking) scan.lastGoodRow = scan.row;
    const status = decodeMcus(count);
    if (status != Status.MORE) return status;
    scan.column += count;
  }
  return Status.MORE;
}

/** MCUs without a restart marker between them, in one row. */
function decodeMcus(count: i32): i32 {
  switch (scan.coding) {
    case Coding.SEQUENTIAL: {
      if (scan.isDirect) decodeToSamples(count);
      else decodeToCoefficients(count);
      break;
    }
    case Coding.PROGRESSIVE: {
      if (scan.bandStart) {
        if (scan.high) decodeAcRefine(count);
        else decodeAcFirst(count);
      } else if (scan.high) decodeDcRefine(count);
      else if (!decodeDcFirst(count)) return Status.BROKEN;
      break;
    }
    case Coding.LOSSLESS: {
      decodeLossless(count);
      break;
    }
    case Coding.EXACT:
      return decodeExact(count) ? Status.MORE : Status.TRUNCATED;
    case Coding.EXACT_LOSSLESS:
      return decodeLossless(count) ? Status.MORE : Status.TRUNCATED;
    default:
      return decodeArithmetic(count) ? Status.MORE : Status.BROKEN;
  }
  return reader.isCut ? Status.TRUNCATED : Status.MORE;
}

/** Takes the next restart marker, or leaves one that belongs further on, so that the coming interval is empty. */
function restart(): i32 {
  const isArithmetic = scan.coding == Coding.ARITHMETIC || scan.coding == Coding.PROGRESSIVE_ARITHMETIC;
  const wasLacking = !isArithmetic && !isExact() && isLacking();
  for (let isTaken = false; !isTaken; ) {
    if (isExact() ? !findMarkerExact() : !findMarker(isArithmetic ? scan.limit : scan.end)) {
      return isArithmetic ? Status.BROKEN : Status.TRUNCATED;
    }
    const marker = reader.marker;
    if (marker >= 0xd0 && marker <= 0xd7) {
      const ahead = (marker - 0xd0 - scan.nextRestart) & 7;
      if (ahead == 1 || ahead == 2) break;
      isTaken = ahead < 6;
    } else if (marker >= 0xc0) break;
    reader.marker = 0;
  }
  scan.nextRestart = (scan.nextRestart + 1) & 7;
  scan.untilRestart = scan.restartInterval;
  scan.eobRun = 0;
  if (isArithmetic) {
    beginArithmetic();
    return Status.MORE;
  }
  for (let c = 0; c < scan.components; c++) scanned(c).prediction = 0;
  restartPredictions();
  if (isExact()) beginExact();
  else {
    reader.wasLacking = wasLacking && reader.marker != 0;
    beginSegment();
  }
  return Status.MORE;
}
