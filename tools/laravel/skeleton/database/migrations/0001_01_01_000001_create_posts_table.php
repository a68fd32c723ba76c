<?php

use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\Schema;

return new class extends Migration
{
    public function up(): void
    {
        Schema::create('posts', function (Blueprint $table): void {
            $table->id();
            $table->uuid()->nullable()->unique();
            $table->string('slug')->unique();
            $table->string('title');
            $table->foreignId('user_id')->nullable();
        });
    }
};
