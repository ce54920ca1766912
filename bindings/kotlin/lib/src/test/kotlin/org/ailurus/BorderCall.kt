package org.ailurus

/** Takes the time of one call with 1 KB: NODE, a node link. Most of it is white space, which Rust only passes over. */
fun main(arguments: Array<String>) {
    val (node) = arguments
    val text = node.padStart(1_024)
    val micros = DoubleArray(CALLS) {
        val begun = System.nanoTime()
        inspectLink(text)
        (System.nanoTime() - begun) / 1_000.0
    }
    // The first half is for the compiler.
    val counted = micros.drop(CALLS / 2).sorted()
    println("""{"ffi_call_us": ${"%.2f".format(java.util.Locale.ROOT, counted[counted.size / 2])}, "calls": ${counted.size}}""")
}

private const val CALLS = 20_000
