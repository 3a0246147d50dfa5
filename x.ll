declare i64 @llvm.smin.i64(i64, i64)
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
define void @mkx(i64 %d.0, i64 %d.1, i64 %d.2, i64 %d.3, i64 %d.4, ptr noalias %b.0, ptr noalias %b.1, ptr noalias %b.2) #0 {
entry:
  %local2 = alloca [32 x float], align 64
  %local1 = alloca [384 x float], align 64
  %t3 = load <16 x float>, ptr %b.2, align 4
  store <16 x float> %t3, ptr %local1, align 4
  %t4 = getelementptr float, ptr %b.2, i64 16
  %t6 = getelementptr float, ptr %local1, i64 16
  %t5 = load <16 x float>, ptr %t4, align 4
  store <16 x float> %t5, ptr %t6, align 4
  %t7 = getelementptr float, ptr %b.2, i64 32
  %t9 = getelementptr float, ptr %local1, i64 32
  %t8 = load <16 x float>, ptr %t7, align 4
  store <16 x float> %t8, ptr %t9, align 4
  %t10 = getelementptr float, ptr %b.2, i64 48
  %t12 = getelementptr float, ptr %local1, i64 48
  %t11 = load <16 x float>, ptr %t10, align 4
  store <16 x float> %t11, ptr %t12, align 4
  %t13 = getelementptr float, ptr %b.2, i64 64
  %t15 = getelementptr float, ptr %local1, i64 64
  %t14 = load <16 x float>, ptr %t13, align 4
  store <16 x float> %t14, ptr %t15, align 4
  %t16 = getelementptr float, ptr %b.2, i64 80
  %t18 = getelementptr float, ptr %local1, i64 80
  %t17 = load <16 x float>, ptr %t16, align 4
  store <16 x float> %t17, ptr %t18, align 4
  %t19 = getelementptr float, ptr %b.2, i64 96
  %t21 = getelementptr float, ptr %local1, i64 96
  %t20 = load <16 x float>, ptr %t19, align 4
  store <16 x float> %t20, ptr %t21, align 4
  %t22 = getelementptr float, ptr %b.2, i64 112
  %t24 = getelementptr float, ptr %local1, i64 112
  %t23 = load <16 x float>, ptr %t22, align 4
  store <16 x float> %t23, ptr %t24, align 4
  %t25 = getelementptr float, ptr %b.2, i64 128
  %t27 = getelementptr float, ptr %local1, i64 128
  %t26 = load <16 x float>, ptr %t25, align 4
  store <16 x float> %t26, ptr %t27, align 4
  %t28 = getelementptr float, ptr %b.2, i64 144
  %t30 = getelementptr float, ptr %local1, i64 144
  %t29 = load <16 x float>, ptr %t28, align 4
  store <16 x float> %t29, ptr %t30, align 4
  %t31 = getelementptr float, ptr %b.2, i64 160
  %t33 = getelementptr float, ptr %local1, i64 160
  %t32 = load <16 x float>, ptr %t31, align 4
  store <16 x float> %t32, ptr %t33, align 4
  %t34 = getelementptr float, ptr %b.2, i64 176
  %t36 = getelementptr float, ptr %local1, i64 176
  %t35 = load <16 x float>, ptr %t34, align 4
  store <16 x float> %t35, ptr %t36, align 4
  %t37 = getelementptr float, ptr %b.2, i64 192
  %t39 = getelementptr float, ptr %local1, i64 192
  %t38 = load <16 x float>, ptr %t37, align 4
  store <16 x float> %t38, ptr %t39, align 4
  %t40 = getelementptr float, ptr %b.2, i64 208
  %t42 = getelementptr float, ptr %local1, i64 208
  %t41 = load <16 x float>, ptr %t40, align 4
  store <16 x float> %t41, ptr %t42, align 4
  %t43 = getelementptr float, ptr %b.2, i64 224
  %t45 = getelementptr float, ptr %local1, i64 224
  %t44 = load <16 x float>, ptr %t43, align 4
  store <16 x float> %t44, ptr %t45, align 4
  %t46 = getelementptr float, ptr %b.2, i64 240
  %t48 = getelementptr float, ptr %local1, i64 240
  %t47 = load <16 x float>, ptr %t46, align 4
  store <16 x float> %t47, ptr %t48, align 4
  %t49 = getelementptr float, ptr %b.2, i64 256
  %t51 = getelementptr float, ptr %local1, i64 256
  %t50 = load <16 x float>, ptr %t49, align 4
  store <16 x float> %t50, ptr %t51, align 4
  %t52 = getelementptr float, ptr %b.2, i64 272
  %t54 = getelementptr float, ptr %local1, i64 272
  %t53 = load <16 x float>, ptr %t52, align 4
  store <16 x float> %t53, ptr %t54, align 4
  %t55 = getelementptr float, ptr %b.2, i64 288
  %t57 = getelementptr float, ptr %local1, i64 288
  %t56 = load <16 x float>, ptr %t55, align 4
  store <16 x float> %t56, ptr %t57, align 4
  %t58 = getelementptr float, ptr %b.2, i64 304
  %t60 = getelementptr float, ptr %local1, i64 304
  %t59 = load <16 x float>, ptr %t58, align 4
  store <16 x float> %t59, ptr %t60, align 4
  %t61 = getelementptr float, ptr %b.2, i64 320
  %t63 = getelementptr float, ptr %local1, i64 320
  %t62 = load <16 x float>, ptr %t61, align 4
  store <16 x float> %t62, ptr %t63, align 4
  %t64 = getelementptr float, ptr %b.2, i64 336
  %t66 = getelementptr float, ptr %local1, i64 336
  %t65 = load <16 x float>, ptr %t64, align 4
  store <16 x float> %t65, ptr %t66, align 4
  %t67 = getelementptr float, ptr %b.2, i64 352
  %t69 = getelementptr float, ptr %local1, i64 352
  %t68 = load <16 x float>, ptr %t67, align 4
  store <16 x float> %t68, ptr %t69, align 4
  %t70 = getelementptr float, ptr %b.2, i64 368
  %t72 = getelementptr float, ptr %local1, i64 368
  %t71 = load <16 x float>, ptr %t70, align 4
  store <16 x float> %t71, ptr %t72, align 4
  %t73 = ashr i64 %d.0, 1
  %t75 = mul nsw i64 %d.4, 2
  %t81 = getelementptr float, ptr %local2, i64 16
  %t82 = mul nsw i64 %d.3, 2
  %t84 = add nsw i64 %d.1, -1
  %t85 = call i64 @llvm.smin.i64(i64 0, i64 %t84)
  %t86 = mul nsw i64 %d.2, %t85
  %t87 = getelementptr float, ptr %b.0, i64 %t86
  %t98 = call i64 @llvm.smin.i64(i64 1, i64 %t84)
  %t99 = mul nsw i64 %d.2, %t98
  %t100 = getelementptr float, ptr %b.0, i64 %t99
  %t111 = call i64 @llvm.smin.i64(i64 2, i64 %t84)
  %t112 = mul nsw i64 %d.2, %t111
  %t113 = getelementptr float, ptr %b.0, i64 %t112
  %t124 = call i64 @llvm.smin.i64(i64 3, i64 %t84)
  %t125 = mul nsw i64 %d.2, %t124
  %t126 = getelementptr float, ptr %b.0, i64 %t125
  %t137 = call i64 @llvm.smin.i64(i64 4, i64 %t84)
  %t138 = mul nsw i64 %d.2, %t137
  %t139 = getelementptr float, ptr %b.0, i64 %t138
  %t150 = call i64 @llvm.smin.i64(i64 5, i64 %t84)
  %t151 = mul nsw i64 %d.2, %t150
  %t152 = getelementptr float, ptr %b.0, i64 %t151
  %t163 = call i64 @llvm.smin.i64(i64 6, i64 %t84)
  %t164 = mul nsw i64 %d.2, %t163
  %t165 = getelementptr float, ptr %b.0, i64 %t164
  %t176 = call i64 @llvm.smin.i64(i64 7, i64 %t84)
  %t177 = mul nsw i64 %d.2, %t176
  %t178 = getelementptr float, ptr %b.0, i64 %t177
  %t189 = call i64 @llvm.smin.i64(i64 8, i64 %t84)
  %t190 = mul nsw i64 %d.2, %t189
  %t191 = getelementptr float, ptr %b.0, i64 %t190
  %t202 = call i64 @llvm.smin.i64(i64 9, i64 %t84)
  %t203 = mul nsw i64 %d.2, %t202
  %t204 = getelementptr float, ptr %b.0, i64 %t203
  %t215 = call i64 @llvm.smin.i64(i64 10, i64 %t84)
  %t216 = mul nsw i64 %d.2, %t215
  %t217 = getelementptr float, ptr %b.0, i64 %t216
  %t228 = call i64 @llvm.smin.i64(i64 11, i64 %t84)
  %t229 = mul nsw i64 %d.2, %t228
  %t230 = getelementptr float, ptr %b.0, i64 %t229
  %t241 = getelementptr float, ptr %b.1, i64 %d.4
  %t246 = add nsw i64 %t86, %d.3
  %t247 = getelementptr float, ptr %b.0, i64 %t246
  %t258 = add nsw i64 %t99, %d.3
  %t259 = getelementptr float, ptr %b.0, i64 %t258
  %t270 = add nsw i64 %t112, %d.3
  %t271 = getelementptr float, ptr %b.0, i64 %t270
  %t282 = add nsw i64 %t125, %d.3
  %t283 = getelementptr float, ptr %b.0, i64 %t282
  %t294 = add nsw i64 %t138, %d.3
  %t295 = getelementptr float, ptr %b.0, i64 %t294
  %t306 = add nsw i64 %t151, %d.3
  %t307 = getelementptr float, ptr %b.0, i64 %t306
  %t318 = add nsw i64 %t164, %d.3
  %t319 = getelementptr float, ptr %b.0, i64 %t318
  %t330 = add nsw i64 %t177, %d.3
  %t331 = getelementptr float, ptr %b.0, i64 %t330
  %t342 = add nsw i64 %t190, %d.3
  %t343 = getelementptr float, ptr %b.0, i64 %t342
  %t354 = add nsw i64 %t203, %d.3
  %t355 = getelementptr float, ptr %b.0, i64 %t354
  %t366 = add nsw i64 %t216, %d.3
  %t367 = getelementptr float, ptr %b.0, i64 %t366
  %t378 = add nsw i64 %t229, %d.3
  %t379 = getelementptr float, ptr %b.0, i64 %t378
  br label %head74
head74:
  %i74 = phi i64 [ 0, %entry ], [ %i74.next, %body74 ]
  %i74.more = icmp slt i64 %i74, %t73
  br i1 %i74.more, label %body74, label %after74
body74:
  %t76 = mul nsw i64 %t75, %i74
  %t77 = getelementptr float, ptr %b.1, i64 %t76
  %t78 = load <16 x float>, ptr %t77, align 4
  store <16 x float> %t78, ptr %local2, align 4
  %t79 = getelementptr float, ptr %t77, i64 16
  %t80 = load <16 x float>, ptr %t79, align 4
  store <16 x float> %t80, ptr %t81, align 4
  %t83 = mul nsw i64 %t82, %i74
  %t88 = getelementptr float, ptr %t87, i64 %t83
  %t89 = load float, ptr %t88, align 4
  %t92 = insertelement <16 x float> poison, float %t89, i32 0
  %t93 = shufflevector <16 x float> %t92, <16 x float> poison, <16 x i32> zeroinitializer
  %t90 = load <16 x float>, ptr %local2, align 4
  %t91 = load <16 x float>, ptr %local1, align 4
  %t94 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t93, <16 x float> %t90, <16 x float> %t91)
  store <16 x float> %t94, ptr %local1, align 4
  %t95 = load <16 x float>, ptr %t81, align 4
  %t96 = load <16 x float>, ptr %t6, align 4
  %t97 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t93, <16 x float> %t95, <16 x float> %t96)
  store <16 x float> %t97, ptr %t6, align 4
  %t101 = getelementptr float, ptr %t100, i64 %t83
  %t102 = load float, ptr %t101, align 4
  %t105 = insertelement <16 x float> poison, float %t102, i32 0
  %t106 = shufflevector <16 x float> %t105, <16 x float> poison, <16 x i32> zeroinitializer
  %t103 = load <16 x float>, ptr %local2, align 4
  %t104 = load <16 x float>, ptr %t9, align 4
  %t107 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t106, <16 x float> %t103, <16 x float> %t104)
  store <16 x float> %t107, ptr %t9, align 4
  %t108 = load <16 x float>, ptr %t81, align 4
  %t109 = load <16 x float>, ptr %t12, align 4
  %t110 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t106, <16 x float> %t108, <16 x float> %t109)
  store <16 x float> %t110, ptr %t12, align 4
  %t114 = getelementptr float, ptr %t113, i64 %t83
  %t115 = load float, ptr %t114, align 4
  %t118 = insertelement <16 x float> poison, float %t115, i32 0
  %t119 = shufflevector <16 x float> %t118, <16 x float> poison, <16 x i32> zeroinitializer
  %t116 = load <16 x float>, ptr %local2, align 4
  %t117 = load <16 x float>, ptr %t15, align 4
  %t120 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t119, <16 x float> %t116, <16 x float> %t117)
  store <16 x float> %t120, ptr %t15, align 4
  %t121 = load <16 x float>, ptr %t81, align 4
  %t122 = load <16 x float>, ptr %t18, align 4
  %t123 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t119, <16 x float> %t121, <16 x float> %t122)
  store <16 x float> %t123, ptr %t18, align 4
  %t127 = getelementptr float, ptr %t126, i64 %t83
  %t128 = load float, ptr %t127, align 4
  %t131 = insertelement <16 x float> poison, float %t128, i32 0
  %t132 = shufflevector <16 x float> %t131, <16 x float> poison, <16 x i32> zeroinitializer
  %t129 = load <16 x float>, ptr %local2, align 4
  %t130 = load <16 x float>, ptr %t21, align 4
  %t133 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t132, <16 x float> %t129, <16 x float> %t130)
  store <16 x float> %t133, ptr %t21, align 4
  %t134 = load <16 x float>, ptr %t81, align 4
  %t135 = load <16 x float>, ptr %t24, align 4
  %t136 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t132, <16 x float> %t134, <16 x float> %t135)
  store <16 x float> %t136, ptr %t24, align 4
  %t140 = getelementptr float, ptr %t139, i64 %t83
  %t141 = load float, ptr %t140, align 4
  %t144 = insertelement <16 x float> poison, float %t141, i32 0
  %t145 = shufflevector <16 x float> %t144, <16 x float> poison, <16 x i32> zeroinitializer
  %t142 = load <16 x float>, ptr %local2, align 4
  %t143 = load <16 x float>, ptr %t27, align 4
  %t146 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t145, <16 x float> %t142, <16 x float> %t143)
  store <16 x float> %t146, ptr %t27, align 4
  %t147 = load <16 x float>, ptr %t81, align 4
  %t148 = load <16 x float>, ptr %t30, align 4
  %t149 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t145, <16 x float> %t147, <16 x float> %t148)
  store <16 x float> %t149, ptr %t30, align 4
  %t153 = getelementptr float, ptr %t152, i64 %t83
  %t154 = load float, ptr %t153, align 4
  %t157 = insertelement <16 x float> poison, float %t154, i32 0
  %t158 = shufflevector <16 x float> %t157, <16 x float> poison, <16 x i32> zeroinitializer
  %t155 = load <16 x float>, ptr %local2, align 4
  %t156 = load <16 x float>, ptr %t33, align 4
  %t159 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t158, <16 x float> %t155, <16 x float> %t156)
  store <16 x float> %t159, ptr %t33, align 4
  %t160 = load <16 x float>, ptr %t81, align 4
  %t161 = load <16 x float>, ptr %t36, align 4
  %t162 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t158, <16 x float> %t160, <16 x float> %t161)
  store <16 x float> %t162, ptr %t36, align 4
  %t166 = getelementptr float, ptr %t165, i64 %t83
  %t167 = load float, ptr %t166, align 4
  %t170 = insertelement <16 x float> poison, float %t167, i32 0
  %t171 = shufflevector <16 x float> %t170, <16 x float> poison, <16 x i32> zeroinitializer
  %t168 = load <16 x float>, ptr %local2, align 4
  %t169 = load <16 x float>, ptr %t39, align 4
  %t172 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t171, <16 x float> %t168, <16 x float> %t169)
  store <16 x float> %t172, ptr %t39, align 4
  %t173 = load <16 x float>, ptr %t81, align 4
  %t174 = load <16 x float>, ptr %t42, align 4
  %t175 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t171, <16 x float> %t173, <16 x float> %t174)
  store <16 x float> %t175, ptr %t42, align 4
  %t179 = getelementptr float, ptr %t178, i64 %t83
  %t180 = load float, ptr %t179, align 4
  %t183 = insertelement <16 x float> poison, float %t180, i32 0
  %t184 = shufflevector <16 x float> %t183, <16 x float> poison, <16 x i32> zeroinitializer
  %t181 = load <16 x float>, ptr %local2, align 4
  %t182 = load <16 x float>, ptr %t45, align 4
  %t185 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t184, <16 x float> %t181, <16 x float> %t182)
  store <16 x float> %t185, ptr %t45, align 4
  %t186 = load <16 x float>, ptr %t81, align 4
  %t187 = load <16 x float>, ptr %t48, align 4
  %t188 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t184, <16 x float> %t186, <16 x float> %t187)
  store <16 x float> %t188, ptr %t48, align 4
  %t192 = getelementptr float, ptr %t191, i64 %t83
  %t193 = load float, ptr %t192, align 4
  %t196 = insertelement <16 x float> poison, float %t193, i32 0
  %t197 = shufflevector <16 x float> %t196, <16 x float> poison, <16 x i32> zeroinitializer
  %t194 = load <16 x float>, ptr %local2, align 4
  %t195 = load <16 x float>, ptr %t51, align 4
  %t198 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t197, <16 x float> %t194, <16 x float> %t195)
  store <16 x float> %t198, ptr %t51, align 4
  %t199 = load <16 x float>, ptr %t81, align 4
  %t200 = load <16 x float>, ptr %t54, align 4
  %t201 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t197, <16 x float> %t199, <16 x float> %t200)
  store <16 x float> %t201, ptr %t54, align 4
  %t205 = getelementptr float, ptr %t204, i64 %t83
  %t206 = load float, ptr %t205, align 4
  %t209 = insertelement <16 x float> poison, float %t206, i32 0
  %t210 = shufflevector <16 x float> %t209, <16 x float> poison, <16 x i32> zeroinitializer
  %t207 = load <16 x float>, ptr %local2, align 4
  %t208 = load <16 x float>, ptr %t57, align 4
  %t211 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t210, <16 x float> %t207, <16 x float> %t208)
  store <16 x float> %t211, ptr %t57, align 4
  %t212 = load <16 x float>, ptr %t81, align 4
  %t213 = load <16 x float>, ptr %t60, align 4
  %t214 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t210, <16 x float> %t212, <16 x float> %t213)
  store <16 x float> %t214, ptr %t60, align 4
  %t218 = getelementptr float, ptr %t217, i64 %t83
  %t219 = load float, ptr %t218, align 4
  %t222 = insertelement <16 x float> poison, float %t219, i32 0
  %t223 = shufflevector <16 x float> %t222, <16 x float> poison, <16 x i32> zeroinitializer
  %t220 = load <16 x float>, ptr %local2, align 4
  %t221 = load <16 x float>, ptr %t63, align 4
  %t224 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t223, <16 x float> %t220, <16 x float> %t221)
  store <16 x float> %t224, ptr %t63, align 4
  %t225 = load <16 x float>, ptr %t81, align 4
  %t226 = load <16 x float>, ptr %t66, align 4
  %t227 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t223, <16 x float> %t225, <16 x float> %t226)
  store <16 x float> %t227, ptr %t66, align 4
  %t231 = getelementptr float, ptr %t230, i64 %t83
  %t232 = load float, ptr %t231, align 4
  %t235 = insertelement <16 x float> poison, float %t232, i32 0
  %t236 = shufflevector <16 x float> %t235, <16 x float> poison, <16 x i32> zeroinitializer
  %t233 = load <16 x float>, ptr %local2, align 4
  %t234 = load <16 x float>, ptr %t69, align 4
  %t237 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t236, <16 x float> %t233, <16 x float> %t234)
  store <16 x float> %t237, ptr %t69, align 4
  %t238 = load <16 x float>, ptr %t81, align 4
  %t239 = load <16 x float>, ptr %t72, align 4
  %t240 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t236, <16 x float> %t238, <16 x float> %t239)
  store <16 x float> %t240, ptr %t72, align 4
  %t242 = getelementptr float, ptr %t241, i64 %t76
  %t243 = load <16 x float>, ptr %t242, align 4
  store <16 x float> %t243, ptr %local2, align 4
  %t244 = getelementptr float, ptr %t242, i64 16
  %t245 = load <16 x float>, ptr %t244, align 4
  store <16 x float> %t245, ptr %t81, align 4
  %t248 = getelementptr float, ptr %t247, i64 %t83
  %t249 = load float, ptr %t248, align 4
  %t252 = insertelement <16 x float> poison, float %t249, i32 0
  %t253 = shufflevector <16 x float> %t252, <16 x float> poison, <16 x i32> zeroinitializer
  %t250 = load <16 x float>, ptr %local2, align 4
  %t251 = load <16 x float>, ptr %local1, align 4
  %t254 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t253, <16 x float> %t250, <16 x float> %t251)
  store <16 x float> %t254, ptr %local1, align 4
  %t255 = load <16 x float>, ptr %t81, align 4
  %t256 = load <16 x float>, ptr %t6, align 4
  %t257 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t253, <16 x float> %t255, <16 x float> %t256)
  store <16 x float> %t257, ptr %t6, align 4
  %t260 = getelementptr float, ptr %t259, i64 %t83
  %t261 = load float, ptr %t260, align 4
  %t264 = insertelement <16 x float> poison, float %t261, i32 0
  %t265 = shufflevector <16 x float> %t264, <16 x float> poison, <16 x i32> zeroinitializer
  %t262 = load <16 x float>, ptr %local2, align 4
  %t263 = load <16 x float>, ptr %t9, align 4
  %t266 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t265, <16 x float> %t262, <16 x float> %t263)
  store <16 x float> %t266, ptr %t9, align 4
  %t267 = load <16 x float>, ptr %t81, align 4
  %t268 = load <16 x float>, ptr %t12, align 4
  %t269 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t265, <16 x float> %t267, <16 x float> %t268)
  store <16 x float> %t269, ptr %t12, align 4
  %t272 = getelementptr float, ptr %t271, i64 %t83
  %t273 = load float, ptr %t272, align 4
  %t276 = insertelement <16 x float> poison, float %t273, i32 0
  %t277 = shufflevector <16 x float> %t276, <16 x float> poison, <16 x i32> zeroinitializer
  %t274 = load <16 x float>, ptr %local2, align 4
  %t275 = load <16 x float>, ptr %t15, align 4
  %t278 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t277, <16 x float> %t274, <16 x float> %t275)
  store <16 x float> %t278, ptr %t15, align 4
  %t279 = load <16 x float>, ptr %t81, align 4
  %t280 = load <16 x float>, ptr %t18, align 4
  %t281 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t277, <16 x float> %t279, <16 x float> %t280)
  store <16 x float> %t281, ptr %t18, align 4
  %t284 = getelementptr float, ptr %t283, i64 %t83
  %t285 = load float, ptr %t284, align 4
  %t288 = insertelement <16 x float> poison, float %t285, i32 0
  %t289 = shufflevector <16 x float> %t288, <16 x float> poison, <16 x i32> zeroinitializer
  %t286 = load <16 x float>, ptr %local2, align 4
  %t287 = load <16 x float>, ptr %t21, align 4
  %t290 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t289, <16 x float> %t286, <16 x float> %t287)
  store <16 x float> %t290, ptr %t21, align 4
  %t291 = load <16 x float>, ptr %t81, align 4
  %t292 = load <16 x float>, ptr %t24, align 4
  %t293 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t289, <16 x float> %t291, <16 x float> %t292)
  store <16 x float> %t293, ptr %t24, align 4
  %t296 = getelementptr float, ptr %t295, i64 %t83
  %t297 = load float, ptr %t296, align 4
  %t300 = insertelement <16 x float> poison, float %t297, i32 0
  %t301 = shufflevector <16 x float> %t300, <16 x float> poison, <16 x i32> zeroinitializer
  %t298 = load <16 x float>, ptr %local2, align 4
  %t299 = load <16 x float>, ptr %t27, align 4
  %t302 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t301, <16 x float> %t298, <16 x float> %t299)
  store <16 x float> %t302, ptr %t27, align 4
  %t303 = load <16 x float>, ptr %t81, align 4
  %t304 = load <16 x float>, ptr %t30, align 4
  %t305 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t301, <16 x float> %t303, <16 x float> %t304)
  store <16 x float> %t305, ptr %t30, align 4
  %t308 = getelementptr float, ptr %t307, i64 %t83
  %t309 = load float, ptr %t308, align 4
  %t312 = insertelement <16 x float> poison, float %t309, i32 0
  %t313 = shufflevector <16 x float> %t312, <16 x float> poison, <16 x i32> zeroinitializer
  %t310 = load <16 x float>, ptr %local2, align 4
  %t311 = load <16 x float>, ptr %t33, align 4
  %t314 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t313, <16 x float> %t310, <16 x float> %t311)
  store <16 x float> %t314, ptr %t33, align 4
  %t315 = load <16 x float>, ptr %t81, align 4
  %t316 = load <16 x float>, ptr %t36, align 4
  %t317 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t313, <16 x float> %t315, <16 x float> %t316)
  store <16 x float> %t317, ptr %t36, align 4
  %t320 = getelementptr float, ptr %t319, i64 %t83
  %t321 = load float, ptr %t320, align 4
  %t324 = insertelement <16 x float> poison, float %t321, i32 0
  %t325 = shufflevector <16 x float> %t324, <16 x float> poison, <16 x i32> zeroinitializer
  %t322 = load <16 x float>, ptr %local2, align 4
  %t323 = load <16 x float>, ptr %t39, align 4
  %t326 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t325, <16 x float> %t322, <16 x float> %t323)
  store <16 x float> %t326, ptr %t39, align 4
  %t327 = load <16 x float>, ptr %t81, align 4
  %t328 = load <16 x float>, ptr %t42, align 4
  %t329 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t325, <16 x float> %t327, <16 x float> %t328)
  store <16 x float> %t329, ptr %t42, align 4
  %t332 = getelementptr float, ptr %t331, i64 %t83
  %t333 = load float, ptr %t332, align 4
  %t336 = insertelement <16 x float> poison, float %t333, i32 0
  %t337 = shufflevector <16 x float> %t336, <16 x float> poison, <16 x i32> zeroinitializer
  %t334 = load <16 x float>, ptr %local2, align 4
  %t335 = load <16 x float>, ptr %t45, align 4
  %t338 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t337, <16 x float> %t334, <16 x float> %t335)
  store <16 x float> %t338, ptr %t45, align 4
  %t339 = load <16 x float>, ptr %t81, align 4
  %t340 = load <16 x float>, ptr %t48, align 4
  %t341 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t337, <16 x float> %t339, <16 x float> %t340)
  store <16 x float> %t341, ptr %t48, align 4
  %t344 = getelementptr float, ptr %t343, i64 %t83
  %t345 = load float, ptr %t344, align 4
  %t348 = insertelement <16 x float> poison, float %t345, i32 0
  %t349 = shufflevector <16 x float> %t348, <16 x float> poison, <16 x i32> zeroinitializer
  %t346 = load <16 x float>, ptr %local2, align 4
  %t347 = load <16 x float>, ptr %t51, align 4
  %t350 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t349, <16 x float> %t346, <16 x float> %t347)
  store <16 x float> %t350, ptr %t51, align 4
  %t351 = load <16 x float>, ptr %t81, align 4
  %t352 = load <16 x float>, ptr %t54, align 4
  %t353 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t349, <16 x float> %t351, <16 x float> %t352)
  store <16 x float> %t353, ptr %t54, align 4
  %t356 = getelementptr float, ptr %t355, i64 %t83
  %t357 = load float, ptr %t356, align 4
  %t360 = insertelement <16 x float> poison, float %t357, i32 0
  %t361 = shufflevector <16 x float> %t360, <16 x float> poison, <16 x i32> zeroinitializer
  %t358 = load <16 x float>, ptr %local2, align 4
  %t359 = load <16 x float>, ptr %t57, align 4
  %t362 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t361, <16 x float> %t358, <16 x float> %t359)
  store <16 x float> %t362, ptr %t57, align 4
  %t363 = load <16 x float>, ptr %t81, align 4
  %t364 = load <16 x float>, ptr %t60, align 4
  %t365 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t361, <16 x float> %t363, <16 x float> %t364)
  store <16 x float> %t365, ptr %t60, align 4
  %t368 = getelementptr float, ptr %t367, i64 %t83
  %t369 = load float, ptr %t368, align 4
  %t372 = insertelement <16 x float> poison, float %t369, i32 0
  %t373 = shufflevector <16 x float> %t372, <16 x float> poison, <16 x i32> zeroinitializer
  %t370 = load <16 x float>, ptr %local2, align 4
  %t371 = load <16 x float>, ptr %t63, align 4
  %t374 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t373, <16 x float> %t370, <16 x float> %t371)
  store <16 x float> %t374, ptr %t63, align 4
  %t375 = load <16 x float>, ptr %t81, align 4
  %t376 = load <16 x float>, ptr %t66, align 4
  %t377 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t373, <16 x float> %t375, <16 x float> %t376)
  store <16 x float> %t377, ptr %t66, align 4
  %t380 = getelementptr float, ptr %t379, i64 %t83
  %t381 = load float, ptr %t380, align 4
  %t384 = insertelement <16 x float> poison, float %t381, i32 0
  %t385 = shufflevector <16 x float> %t384, <16 x float> poison, <16 x i32> zeroinitializer
  %t382 = load <16 x float>, ptr %local2, align 4
  %t383 = load <16 x float>, ptr %t69, align 4
  %t386 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t385, <16 x float> %t382, <16 x float> %t383)
  store <16 x float> %t386, ptr %t69, align 4
  %t387 = load <16 x float>, ptr %t81, align 4
  %t388 = load <16 x float>, ptr %t72, align 4
  %t389 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t385, <16 x float> %t387, <16 x float> %t388)
  store <16 x float> %t389, ptr %t72, align 4
  %i74.next = add nsw i64 %i74, 1
  br label %head74
after74:
  %t390 = mul nsw i64 %t73, -2
  %t391 = add nsw i64 %d.0, %t390
  %t394 = mul nsw i64 %t75, %t73
  %t395 = getelementptr float, ptr %b.1, i64 %t394
  %t401 = mul nsw i64 %t82, %t73
  %t402 = add nsw i64 %t86, %t401
  %t403 = getelementptr float, ptr %b.0, i64 %t402
  %t414 = add nsw i64 %t99, %t401
  %t415 = getelementptr float, ptr %b.0, i64 %t414
  %t426 = add nsw i64 %t112, %t401
  %t427 = getelementptr float, ptr %b.0, i64 %t426
  %t438 = add nsw i64 %t125, %t401
  %t439 = getelementptr float, ptr %b.0, i64 %t438
  %t450 = add nsw i64 %t138, %t401
  %t451 = getelementptr float, ptr %b.0, i64 %t450
  %t462 = add nsw i64 %t151, %t401
  %t463 = getelementptr float, ptr %b.0, i64 %t462
  %t474 = add nsw i64 %t164, %t401
  %t475 = getelementptr float, ptr %b.0, i64 %t474
  %t486 = add nsw i64 %t177, %t401
  %t487 = getelementptr float, ptr %b.0, i64 %t486
  %t498 = add nsw i64 %t190, %t401
  %t499 = getelementptr float, ptr %b.0, i64 %t498
  %t510 = add nsw i64 %t203, %t401
  %t511 = getelementptr float, ptr %b.0, i64 %t510
  %t522 = add nsw i64 %t216, %t401
  %t523 = getelementptr float, ptr %b.0, i64 %t522
  %t534 = add nsw i64 %t229, %t401
  %t535 = getelementptr float, ptr %b.0, i64 %t534
  br label %head392
head392:
  %i392 = phi i64 [ 0, %after74 ], [ %i392.next, %body392 ]
  %i392.more = icmp slt i64 %i392, %t391
  br i1 %i392.more, label %body392, label %after392
body392:
  %t393 = mul nsw i64 %d.4, %i392
  %t396 = getelementptr float, ptr %t395, i64 %t393
  %t397 = load <16 x float>, ptr %t396, align 4
  store <16 x float> %t397, ptr %local2, align 4
  %t398 = getelementptr float, ptr %t396, i64 16
  %t399 = load <16 x float>, ptr %t398, align 4
  store <16 x float> %t399, ptr %t81, align 4
  %t400 = mul nsw i64 %d.3, %i392
  %t404 = getelementptr float, ptr %t403, i64 %t400
  %t405 = load float, ptr %t404, align 4
  %t408 = insertelement <16 x float> poison, float %t405, i32 0
  %t409 = shufflevector <16 x float> %t408, <16 x float> poison, <16 x i32> zeroinitializer
  %t406 = load <16 x float>, ptr %local2, align 4
  %t407 = load <16 x float>, ptr %local1, align 4
  %t410 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t409, <16 x float> %t406, <16 x float> %t407)
  store <16 x float> %t410, ptr %local1, align 4
  %t411 = load <16 x float>, ptr %t81, align 4
  %t412 = load <16 x float>, ptr %t6, align 4
  %t413 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t409, <16 x float> %t411, <16 x float> %t412)
  store <16 x float> %t413, ptr %t6, align 4
  %t416 = getelementptr float, ptr %t415, i64 %t400
  %t417 = load float, ptr %t416, align 4
  %t420 = insertelement <16 x float> poison, float %t417, i32 0
  %t421 = shufflevector <16 x float> %t420, <16 x float> poison, <16 x i32> zeroinitializer
  %t418 = load <16 x float>, ptr %local2, align 4
  %t419 = load <16 x float>, ptr %t9, align 4
  %t422 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t421, <16 x float> %t418, <16 x float> %t419)
  store <16 x float> %t422, ptr %t9, align 4
  %t423 = load <16 x float>, ptr %t81, align 4
  %t424 = load <16 x float>, ptr %t12, align 4
  %t425 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t421, <16 x float> %t423, <16 x float> %t424)
  store <16 x float> %t425, ptr %t12, align 4
  %t428 = getelementptr float, ptr %t427, i64 %t400
  %t429 = load float, ptr %t428, align 4
  %t432 = insertelement <16 x float> poison, float %t429, i32 0
  %t433 = shufflevector <16 x float> %t432, <16 x float> poison, <16 x i32> zeroinitializer
  %t430 = load <16 x float>, ptr %local2, align 4
  %t431 = load <16 x float>, ptr %t15, align 4
  %t434 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t433, <16 x float> %t430, <16 x float> %t431)
  store <16 x float> %t434, ptr %t15, align 4
  %t435 = load <16 x float>, ptr %t81, align 4
  %t436 = load <16 x float>, ptr %t18, align 4
  %t437 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t433, <16 x float> %t435, <16 x float> %t436)
  store <16 x float> %t437, ptr %t18, align 4
  %t440 = getelementptr float, ptr %t439, i64 %t400
  %t441 = load float, ptr %t440, align 4
  %t444 = insertelement <16 x float> poison, float %t441, i32 0
  %t445 = shufflevector <16 x float> %t444, <16 x float> poison, <16 x i32> zeroinitializer
  %t442 = load <16 x float>, ptr %local2, align 4
  %t443 = load <16 x float>, ptr %t21, align 4
  %t446 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t445, <16 x float> %t442, <16 x float> %t443)
  store <16 x float> %t446, ptr %t21, align 4
  %t447 = load <16 x float>, ptr %t81, align 4
  %t448 = load <16 x float>, ptr %t24, align 4
  %t449 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t445, <16 x float> %t447, <16 x float> %t448)
  store <16 x float> %t449, ptr %t24, align 4
  %t452 = getelementptr float, ptr %t451, i64 %t400
  %t453 = load float, ptr %t452, align 4
  %t456 = insertelement <16 x float> poison, float %t453, i32 0
  %t457 = shufflevector <16 x float> %t456, <16 x float> poison, <16 x i32> zeroinitializer
  %t454 = load <16 x float>, ptr %local2, align 4
  %t455 = load <16 x float>, ptr %t27, align 4
  %t458 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t457, <16 x float> %t454, <16 x float> %t455)
  store <16 x float> %t458, ptr %t27, align 4
  %t459 = load <16 x float>, ptr %t81, align 4
  %t460 = load <16 x float>, ptr %t30, align 4
  %t461 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t457, <16 x float> %t459, <16 x float> %t460)
  store <16 x float> %t461, ptr %t30, align 4
  %t464 = getelementptr float, ptr %t463, i64 %t400
  %t465 = load float, ptr %t464, align 4
  %t468 = insertelement <16 x float> poison, float %t465, i32 0
  %t469 = shufflevector <16 x float> %t468, <16 x float> poison, <16 x i32> zeroinitializer
  %t466 = load <16 x float>, ptr %local2, align 4
  %t467 = load <16 x float>, ptr %t33, align 4
  %t470 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t469, <16 x float> %t466, <16 x float> %t467)
  store <16 x float> %t470, ptr %t33, align 4
  %t471 = load <16 x float>, ptr %t81, align 4
  %t472 = load <16 x float>, ptr %t36, align 4
  %t473 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t469, <16 x float> %t471, <16 x float> %t472)
  store <16 x float> %t473, ptr %t36, align 4
  %t476 = getelementptr float, ptr %t475, i64 %t400
  %t477 = load float, ptr %t476, align 4
  %t480 = insertelement <16 x float> poison, float %t477, i32 0
  %t481 = shufflevector <16 x float> %t480, <16 x float> poison, <16 x i32> zeroinitializer
  %t478 = load <16 x float>, ptr %local2, align 4
  %t479 = load <16 x float>, ptr %t39, align 4
  %t482 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t481, <16 x float> %t478, <16 x float> %t479)
  store <16 x float> %t482, ptr %t39, align 4
  %t483 = load <16 x float>, ptr %t81, align 4
  %t484 = load <16 x float>, ptr %t42, align 4
  %t485 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t481, <16 x float> %t483, <16 x float> %t484)
  store <16 x float> %t485, ptr %t42, align 4
  %t488 = getelementptr float, ptr %t487, i64 %t400
  %t489 = load float, ptr %t488, align 4
  %t492 = insertelement <16 x float> poison, float %t489, i32 0
  %t493 = shufflevector <16 x float> %t492, <16 x float> poison, <16 x i32> zeroinitializer
  %t490 = load <16 x float>, ptr %local2, align 4
  %t491 = load <16 x float>, ptr %t45, align 4
  %t494 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t493, <16 x float> %t490, <16 x float> %t491)
  store <16 x float> %t494, ptr %t45, align 4
  %t495 = load <16 x float>, ptr %t81, align 4
  %t496 = load <16 x float>, ptr %t48, align 4
  %t497 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t493, <16 x float> %t495, <16 x float> %t496)
  store <16 x float> %t497, ptr %t48, align 4
  %t500 = getelementptr float, ptr %t499, i64 %t400
  %t501 = load float, ptr %t500, align 4
  %t504 = insertelement <16 x float> poison, float %t501, i32 0
  %t505 = shufflevector <16 x float> %t504, <16 x float> poison, <16 x i32> zeroinitializer
  %t502 = load <16 x float>, ptr %local2, align 4
  %t503 = load <16 x float>, ptr %t51, align 4
  %t506 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t505, <16 x float> %t502, <16 x float> %t503)
  store <16 x float> %t506, ptr %t51, align 4
  %t507 = load <16 x float>, ptr %t81, align 4
  %t508 = load <16 x float>, ptr %t54, align 4
  %t509 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t505, <16 x float> %t507, <16 x float> %t508)
  store <16 x float> %t509, ptr %t54, align 4
  %t512 = getelementptr float, ptr %t511, i64 %t400
  %t513 = load float, ptr %t512, align 4
  %t516 = insertelement <16 x float> poison, float %t513, i32 0
  %t517 = shufflevector <16 x float> %t516, <16 x float> poison, <16 x i32> zeroinitializer
  %t514 = load <16 x float>, ptr %local2, align 4
  %t515 = load <16 x float>, ptr %t57, align 4
  %t518 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t517, <16 x float> %t514, <16 x float> %t515)
  store <16 x float> %t518, ptr %t57, align 4
  %t519 = load <16 x float>, ptr %t81, align 4
  %t520 = load <16 x float>, ptr %t60, align 4
  %t521 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t517, <16 x float> %t519, <16 x float> %t520)
  store <16 x float> %t521, ptr %t60, align 4
  %t524 = getelementptr float, ptr %t523, i64 %t400
  %t525 = load float, ptr %t524, align 4
  %t528 = insertelement <16 x float> poison, float %t525, i32 0
  %t529 = shufflevector <16 x float> %t528, <16 x float> poison, <16 x i32> zeroinitializer
  %t526 = load <16 x float>, ptr %local2, align 4
  %t527 = load <16 x float>, ptr %t63, align 4
  %t530 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t529, <16 x float> %t526, <16 x float> %t527)
  store <16 x float> %t530, ptr %t63, align 4
  %t531 = load <16 x float>, ptr %t81, align 4
  %t532 = load <16 x float>, ptr %t66, align 4
  %t533 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t529, <16 x float> %t531, <16 x float> %t532)
  store <16 x float> %t533, ptr %t66, align 4
  %t536 = getelementptr float, ptr %t535, i64 %t400
  %t537 = load float, ptr %t536, align 4
  %t540 = insertelement <16 x float> poison, float %t537, i32 0
  %t541 = shufflevector <16 x float> %t540, <16 x float> poison, <16 x i32> zeroinitializer
  %t538 = load <16 x float>, ptr %local2, align 4
  %t539 = load <16 x float>, ptr %t69, align 4
  %t542 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t541, <16 x float> %t538, <16 x float> %t539)
  store <16 x float> %t542, ptr %t69, align 4
  %t543 = load <16 x float>, ptr %t81, align 4
  %t544 = load <16 x float>, ptr %t72, align 4
  %t545 = call <16 x float> @llvm.fma.v16f32(<16 x float> %t541, <16 x float> %t543, <16 x float> %t544)
  store <16 x float> %t545, ptr %t72, align 4
  %i392.next = add nsw i64 %i392, 1
  br label %head392
after392:
  %t546 = load <16 x float>, ptr %local1, align 4
  store <16 x float> %t546, ptr %b.2, align 4
  %t547 = load <16 x float>, ptr %t6, align 4
  store <16 x float> %t547, ptr %t4, align 4
  %t548 = load <16 x float>, ptr %t9, align 4
  store <16 x float> %t548, ptr %t7, align 4
  %t549 = load <16 x float>, ptr %t12, align 4
  store <16 x float> %t549, ptr %t10, align 4
  %t550 = load <16 x float>, ptr %t15, align 4
  store <16 x float> %t550, ptr %t13, align 4
  %t551 = load <16 x float>, ptr %t18, align 4
  store <16 x float> %t551, ptr %t16, align 4
  %t552 = load <16 x float>, ptr %t21, align 4
  store <16 x float> %t552, ptr %t19, align 4
  %t553 = load <16 x float>, ptr %t24, align 4
  store <16 x float> %t553, ptr %t22, align 4
  %t554 = load <16 x float>, ptr %t27, align 4
  store <16 x float> %t554, ptr %t25, align 4
  %t555 = load <16 x float>, ptr %t30, align 4
  store <16 x float> %t555, ptr %t28, align 4
  %t556 = load <16 x float>, ptr %t33, align 4
  store <16 x float> %t556, ptr %t31, align 4
  %t557 = load <16 x float>, ptr %t36, align 4
  store <16 x float> %t557, ptr %t34, align 4
  %t558 = load <16 x float>, ptr %t39, align 4
  store <16 x float> %t558, ptr %t37, align 4
  %t559 = load <16 x float>, ptr %t42, align 4
  store <16 x float> %t559, ptr %t40, align 4
  %t560 = load <16 x float>, ptr %t45, align 4
  store <16 x float> %t560, ptr %t43, align 4
  %t561 = load <16 x float>, ptr %t48, align 4
  store <16 x float> %t561, ptr %t46, align 4
  %t562 = load <16 x float>, ptr %t51, align 4
  store <16 x float> %t562, ptr %t49, align 4
  %t563 = load <16 x float>, ptr %t54, align 4
  store <16 x float> %t563, ptr %t52, align 4
  %t564 = load <16 x float>, ptr %t57, align 4
  store <16 x float> %t564, ptr %t55, align 4
  %t565 = load <16 x float>, ptr %t60, align 4
  store <16 x float> %t565, ptr %t58, align 4
  %t566 = load <16 x float>, ptr %t63, align 4
  store <16 x float> %t566, ptr %t61, align 4
  %t567 = load <16 x float>, ptr %t66, align 4
  store <16 x float> %t567, ptr %t64, align 4
  %t568 = load <16 x float>, ptr %t69, align 4
  store <16 x float> %t568, ptr %t67, align 4
  %t569 = load <16 x float>, ptr %t72, align 4
  store <16 x float> %t569, ptr %t70, align 4
  ret void
}
attributes #0 = { nounwind "target-cpu"="cascadelake" "target-features"="+64bit,+adx,+aes,-amx-avx512,-amx-bf16,-amx-complex,-amx-fp16,-amx-fp8,-amx-int8,-amx-movrs,-amx-tf32,-amx-tile,+avx,-avx10.1,-avx10.2,+avx2,-avx512bf16,-avx512bitalg,+avx512bw,+avx512cd,+avx512dq,+avx512f,-avx512fp16,-avx512ifma,-avx512vbmi,-avx512vbmi2,+avx512vl,+avx512vnni,-avx512vp2intersect,-avx512vpopcntdq,-avxifma,-avxneconvert,-avxvnni,-avxvnniint16,-avxvnniint8,+bmi,+bmi2,-ccmp,-cf,-cldemote,+clflushopt,+clwb,-clzero,+cmov,-cmpccxadd,+crc32,+cx16,+cx8,-egpr,-enqcmd,+f16c,+fma,-fma4,+fsgsbase,+fxsr,-gfni,-hreset,+invpcid,-kl,-lwp,+lzcnt,+mmx,+movbe,-movdir64b,-movdiri,-movrs,-mwaitx,-ndd,-nf,+pclmul,-pconfig,+pku,+popcnt,-ppx,-prefetchi,+prfchw,-ptwrite,-push2pop2,-raoint,-rdpid,-rdpru,+rdrnd,+rdseed,-rtm,+sahf,-serialize,-sgx,-sha,-sha512,-shstk,-sm3,-sm4,+sse,+sse2,+sse3,+sse4.1,+sse4.2,-sse4a,+ssse3,-tbm,-tsxldtrk,-uintr,-usermsr,-vaes,-vpclmulqdq,-waitpkg,-wbnoinvd,-widekl,-xop,+xsave,+xsavec,+xsaveopt,+xsaves,-zu" "prefer-vector-width"="512" }