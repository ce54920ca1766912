package org.ailurus

import com.sun.jna.NativeLibrary
import kotlinx.coroutines.async
import kotlinx.coroutines.delay
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

/** The least that a program of this kind can do: JNA, a native LIBRARY that is empty, and a coroutine. */
fun main(arguments: Array<String>) {
    val (library) = arguments
    NativeLibrary.getInstance(library)
    println(runBlocking { async { delay(0) }.join() })
    System.out.flush()
    exitProcess(0)
}
