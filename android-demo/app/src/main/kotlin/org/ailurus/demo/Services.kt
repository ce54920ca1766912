package org.ailurus.demo

import android.content.Context

/** A service of the system that every phone has. */
internal inline fun <reified T : Any> Context.service(): T =
    checkNotNull(getSystemService(T::class.java)) { "there is no ${T::class.java.simpleName} here" }
